// A thread that runs callbacks; each reactor has one link to it.
//
// The worker serves the reactors in turn. For each it runs exclusive calls first, then messages in the order
// of the queue, and reports back in groups; the slower the callbacks, the smaller the groups. Without work it
// follows the idle strategy and sleeps on its flag. Invariant: between two reads of the flag `stop` there is
// at most one callback.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <cpgring/options.hpp>

#include "base/clock.hpp"
#include "base/idle_policy.hpp"
#include "base/sleep_flag.hpp"
#include "dispatch/worker_link.hpp"

namespace cpgring::dispatch {

/// Runs the items of one handle. One indirect call serves a run of them.
class worker_target {
 public:
  /// On the worker: takes up to `count` items of `from.work`, beginning with front(first), all of them for
  /// this target, and puts reports of them into `from.back`. Returns how many it took, at least 1.
  using run_function = std::uint32_t (*)(worker_target& self, worker_link& from, std::uint32_t first,
                                         std::uint32_t count);
  /// On the reactor: a report has arrived.
  using done_function = void (*)(worker_target& self, work_done& report);
  worker_target(run_function run, done_function done) noexcept : run_(run), done_(done) {}
  void done(work_done& report) { done_(*this, report); }
  std::uint32_t run(worker_link& from, std::uint32_t first, std::uint32_t count) {
    return run_(*this, from, first, count);
  }

 private:
  run_function run_;
  done_function done_;
};

/// Called on the worker's thread after reports were queued; wakes the reactor if it waits for them.
/// `ran_out`: nothing of that reactor is left to do. Every time this happens, a call says so.
using report_callback = std::function<void(bool ran_out)>;

class worker {
 public:
  struct client {  // one reactor
    worker_link* link;
    report_callback reported;
  };
  /// Starts the thread. Throws std::system_error.
  worker(std::vector<client> clients, std::string name, int cpu, const base::idle_policy& idle);
  /// Waits for the running callback; queued items are not run.
  ~worker();
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// Called by a reactor after it has published items.
  void wake() noexcept { asleep_.wake(); }
  void stop() noexcept;
  /// For an object that is never destroyed: its thread is not joined.
  void detach() { thread_.detach(); }
  /// True on this worker's thread.
  [[nodiscard]] bool runs_here() const noexcept { return thread_.get_id() == std::this_thread::get_id(); }

 private:
  struct served_client {
    client from;
    base::time_point reported_at{};
    bool fuller_than_half = false;
  };
  void loop();
  bool serve(served_client& one);
  bool serve_calls(served_client& one);
  static void report(served_client& one, base::time_point now);
  void rest();
  bool spin_wait(base::time_point began);
  [[nodiscard]] bool any_ready() noexcept;

  std::vector<served_client> clients_;
  const std::string name_;
  const int cpu_;
  base::idle_policy idle_;
  std::uint32_t run_length_ = 1;
  std::atomic<bool> stop_{false};
  base::sleep_flag asleep_;
  std::thread thread_;
};

}  // namespace cpgring::dispatch
