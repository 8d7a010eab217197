// A thread that runs callbacks, fed by one queue of each reactor.
//
// It serves errands first, then messages in the order of the queue, and sends receipts back in groups that are the smaller the slower the
// callbacks are. With nothing to do it looks a little longer, then sleeps on its flag. Invariant: between two looks at the flag `stop`
// there is at most one callback.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/sleep_flag.hpp"
#include "dispatch/feed.hpp"

namespace cpgring::dispatch {

/// Runs a handle's items. One indirect call serves a whole run of them.
class worker_target {
 public:
  /// Takes up to `count` items from the front of `from` on, all of them this target's; puts one receipt for what it took into `from.back`.
  /// How many it took, at least 1.
  using run_function = std::uint32_t (*)(worker_target& self, feed& from, std::uint32_t first, std::uint32_t count);
  explicit worker_target(run_function run) noexcept : run_(run) {}
  std::uint32_t run(feed& from, std::uint32_t first, std::uint32_t count) { return run_(*this, from, first, count); }

 private:
  run_function run_;
};

class worker {
 public:
  /// `told`: called after receipts were sent; wakes the reactor if it waits for them. Starts the thread.
  worker(feed& from, std::string name, int cpu, std::function<void()> told);
  /// Waits for the callback that runs now; what is still queued is not run.
  ~worker();
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// From the reactor: something has been published.
  void wake() noexcept { asleep_.wake(); }
  void stop() noexcept;

 private:
  void loop();
  bool serve();
  bool serve_errands();
  void tell(base::time_point now);
  bool look_a_while();
  [[nodiscard]] bool something_waits() noexcept;

  feed& feed_;
  const std::string name_;
  const int cpu_;
  const std::function<void()> told_;
  const bool may_look_ = std::thread::hardware_concurrency() > 1;
  base::nanoseconds window_{0};
  std::uint32_t run_length_ = 1;
  base::time_point told_at_;
  bool fuller_than_half_ = false;
  std::atomic<bool> stop_{false};
  base::sleep_flag asleep_;
  std::thread thread_;
};

}  // namespace cpgring::dispatch
