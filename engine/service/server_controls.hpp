// Implements service_controls: passes an interceptor's commands to the server while the service runs.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include <cpgring/service_interceptor.hpp>

#include "base/fork_guard.hpp"
#include "service/cpg_server.hpp"
#include "service/event_loop.hpp"
#include "service/service_log.hpp"

namespace cpgring::service {

/// May outlive the service if an interceptor keeps it. run(): any thread. All other functions: service thread
/// only.
class server_controls final : public service_controls, public std::enable_shared_from_this<server_controls> {
 public:
  server_controls() = default;  // throws std::system_error

  /// Between open() and close() the loop runs or is about to run.
  void open(event_loop& loop, cpg_server& server, service_log& log) {
    const std::lock_guard lock(lock_);
    loop_ = &loop;
    server_ = &server;
    log_ = &log;
  }
  void close() noexcept {
    const std::lock_guard lock(lock_);
    loop_ = nullptr;
    server_ = nullptr;
    log_ = nullptr;
  }

  result<void> run(std::function<void()> task) override;
  [[nodiscard]] std::uint32_t node_id() const noexcept override {
    return server_ == nullptr ? 0 : server_->node_id();
  }
  void log(log_level level, std::string_view text) override {
    if (log_ != nullptr) {
      log_->say(level, text);
    }
  }
  [[nodiscard]] std::vector<std::uint64_t> clients_of(std::string_view group) const override {
    return server_ == nullptr ? std::vector<std::uint64_t>{} : server_->clients_of(group);
  }
  void hang_up(std::uint64_t client, std::string_view why) override {
    if (server_ != nullptr) {
      server_->hang_up(client, why);
    }
  }
  void pause(std::chrono::milliseconds how_long) override {
    if (server_ != nullptr) {
      server_->pause(how_long);
    }
  }
  void resume() override {
    if (loop_ != nullptr) {
      loop_->resume();
    }
  }
  void release_doorbells() override {
    if (server_ != nullptr) {
      server_->release_doorbells();
    }
  }
  void show_view(std::string_view group, std::span<const simulated_member> joined,
                 std::span<const simulated_member> left) override {
    if (server_ != nullptr) {
      server_->show_view(group, joined, left);
    }
  }
  void show_ring() override {
    if (server_ != nullptr) {
      server_->show_ring();
    }
  }

 private:
  base::fork_guard parent_;
  std::mutex lock_;  // for calls of run() by other threads
  event_loop* loop_ = nullptr;
  cpg_server* server_ = nullptr;
  service_log* log_ = nullptr;
};

}  // namespace cpgring::service
