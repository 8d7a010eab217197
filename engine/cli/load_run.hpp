// Runs the workload of `cpgring load`: one thread sends at its rate, however slow the service is (open loop);
// the calling thread drives the engine.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <cpgring/service.hpp>

#include "cli/gate.hpp"
#include "cli/ledger.hpp"
#include "cli/load_options.hpp"
#include "cli/log_writer.hpp"

namespace cpgring::cli {

struct load_report {
  std::string service;
  wakeup backend = wakeup::automatic;
  std::uint64_t sent = 0;
  std::uint64_t lost = 0;
  ledger::totals totals;
  std::chrono::nanoseconds opening{0};  // from the first open to the last own view
  std::chrono::nanoseconds running{0};  // from the first intended send time to the last arrival
  // CPU time of this process during `running`, without the embedded service's thread.
  std::chrono::nanoseconds cpu{0};
  std::chrono::nanoseconds sender_cpu{0};  // the part of the sending thread
  histogram latency;
  std::uint64_t shm_bytes = 0;  // of all handles
  std::uint64_t rss_bytes = 0;
  std::uint64_t leases_refused = 0;
  engine_stats engine;
  bool interrupted = false;
  std::optional<error> failure;  // why the run ended early

  [[nodiscard]] bool good(const load_options& o) const noexcept;
};

class load_run {
 public:
  /// Throws if the engine can't be created.
  load_run(const load_options& o, embedded_service* service);
  ~load_run();
  /// Opens, sends, dispatches and waits for the last message. May be called once.
  load_report run();
  /// Any thread: stops sending and waits for the messages in flight. `at_once`: does not wait either.
  void interrupt(bool at_once);

 private:
  using nanoseconds = std::chrono::nanoseconds;

  result<void> open_handles();
  void drive();
  void end(std::optional<error> failure);
  void joined();
  void arrived(std::uint32_t handle, const message& m);
  void keep(std::uint32_t handle, const message& m);
  /// Calls `what`, on the thread that drives the engine: at once if callbacks run there, else by a post.
  void on_driver(std::function<void()> what);
  void check_progress();
  void show_progress() const;
  void send_all(const std::stop_token& end);
  bool send_one(std::uint64_t message, std::span<std::byte> payload, nanoseconds intended,
                const std::stop_token& end);
  void end_if_done();
  [[nodiscard]] nanoseconds cpu_used() const;

  const load_options& o_;
  embedded_service* service_;
  ledger ledger_;
  load_report report_;
  std::vector<handle> handles_;
  std::uint32_t joined_ = 0;
  nanoseconds opened_at_{0}, began_at_{0}, cpu_at_begin_{0};
  std::atomic<std::int64_t> last_arrival_{0};
  std::uint64_t arrivals_at_last_check_ = 0;
  nanoseconds moved_at_{0};
  bool over_ = false;
  // Null unless stderr is a terminal. A stopped terminal blocks nothing.
  std::unique_ptr<log_writer> progress_;

  gate gate_;
  std::atomic<std::uint64_t> sent_{0}, delivered_{0};
  std::atomic<std::uint64_t> leases_refused_{0};
  struct kept {
    std::uint32_t handle;
    lease message;
  };
  std::mutex kept_lock_;
  std::map<std::thread::id, std::deque<kept>> kept_;  // for each thread that runs callbacks
  std::atomic<bool> sender_done_{false};
  std::uint64_t window_;
  std::uint64_t window_step_;

  std::stop_source no_more_;
  engine engine_;
  std::thread sender_;
};

}  // namespace cpgring::cli
