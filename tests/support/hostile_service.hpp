// A CPG service on a thread of the test. It serves like an honest one, except where the test replaces an
// answer or sends events of its own, and records the requests. Each client is alone in its group.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/owned.hpp"
#include "cpg/wire_format.hpp"

namespace cpgring::test {

// Events as bytes.
std::vector<std::byte> message_event(std::string_view group, std::uint32_t pid, std::string_view payload);
std::vector<std::byte> fragment_event(std::string_view group, std::uint32_t pid, std::uint32_t total,
                                      cpg::wire::fragment_type type, std::string_view payload);
/// A view in which `pid` joins (or leaves) and is the only member.
std::vector<std::byte> view_event(std::string_view group, std::uint32_t pid, bool joins = true);
/// An answer of `size` bytes: a header, then zeros.
std::vector<std::byte> answer_of(cpg::wire::response id, std::size_t size,
                                 std::int32_t error = cpg::wire::status::ok);

class hostile_service {
 public:
  using bytes = std::span<const std::byte>;

  /// One connection. Service thread only.
  class client {
   public:
    virtual ~client() = default;
    virtual void answer(bytes whole) = 0;
    /// Sends an event, and waits for room in the ring while the client is connected.
    virtual void send(bytes event) = 0;
    virtual void hang_up() = 0;
    std::string group;
    std::uint32_t pid = 0;
  };
  /// Called before the honest answer; true: the meddler has handled the request.
  using meddler = std::function<bool(client&, cpg::wire::request, bytes)>;
  struct row {
    std::string group;
    std::uint32_t node, pid;
  };

  explicit hostile_service(meddler meddle = {}, std::string name = {});
  hostile_service(const hostile_service&) = delete;
  hostile_service& operator=(const hostile_service&) = delete;
  ~hostile_service();

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Sets the members that queries list. Call it before the first client connects.
  void list(std::vector<row> rows) { rows_ = std::move(rows); }
  /// Ids of all requests, in order.
  [[nodiscard]] std::vector<cpg::wire::request> requests() const;
  [[nodiscard]] std::size_t asked(cpg::wire::request id) const;
  /// Number of connections, with a handshake or without.
  [[nodiscard]] std::size_t connects() const noexcept { return connects_.load(std::memory_order_relaxed); }
  /// Iterations that are open, and the most that were open at a time.
  [[nodiscard]] std::size_t iterations() const noexcept {
    return iterations_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t iterations_most() const noexcept {
    return iterations_most_.load(std::memory_order_relaxed);
  }
  /// Runs `what` on the service's thread for each client that is or was in `group`, and waits for it. Returns
  /// the number of these clients.
  std::size_t with(std::string_view group, const std::function<void(client&)>& what);
  /// Like with(), but does not wait: for more events than a ring holds, which the caller then reads.
  void post(std::string_view group, std::function<void(client&)> what);
  /// Handles a request as an honest service does.
  void serve(client& from, cpg::wire::request id, bytes request);

 private:
  class connection;
  void call(std::function<void()> what);
  std::size_t each_in(std::string_view group, const std::function<void(client&)>& what);
  void run();
  void turn();
  void accept();
  void begin_iteration(client& from, bytes request);
  void next_of_iteration(client& from, bytes request);
  void end_iteration(client& from, bytes request);

  const meddler meddle_;
  const std::string name_;
  base::unique_fd listener_, wake_;
  std::vector<row> rows_;
  std::vector<std::unique_ptr<connection>> clients_;  // service thread only
  std::vector<std::pair<std::vector<row>, std::size_t>> walks_;
  std::atomic<std::size_t> iterations_{0}, iterations_most_{0}, connects_{0};
  mutable std::mutex lock_;  // guards requests_ and calls_
  std::vector<cpg::wire::request> requests_;
  std::vector<std::function<void()>> calls_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace cpgring::test
