// A thread that runs callbacks, fed by one queue of each reactor.
//
// Reactors take turns. Of each it serves errands first, then messages in the order of the queue, and sends receipts back in groups that are
// the smaller the slower the callbacks are. With nothing to do it does as the idle strategy says; it sleeps on its flag. Invariant: between
// two looks at the flag `stop` there is at most one callback.
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

/// Called on the worker's thread after receipts were sent: wakes the reactor if it waits for them. `ran_out`: nothing of that reactor's is
/// left to do; that is said whenever it comes to be so.
using told_function = std::function<void(bool ran_out)>;

class worker {
 public:
  struct way {  // from one reactor and back
    feed* queues;
    told_function told;
  };
  /// Starts the thread; throws std::system_error.
  worker(std::vector<way> from, std::string name, int cpu, idle strategy);
  /// Waits for the callback that runs now; what is still queued is not run.
  ~worker();
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// From a reactor: something has been published.
  void wake() noexcept { asleep_.wake(); }
  void stop() noexcept;
  /// For an object that is kept for ever: nobody will wait for its thread.
  void detach() { thread_.detach(); }
  /// The calling thread is this one's.
  [[nodiscard]] bool runs_here() const noexcept { return thread_.get_id() == std::this_thread::get_id(); }

 private:
  struct inlet {
    way from;
    base::time_point told_at{};
    bool fuller_than_half = false;
  };
  void loop();
  bool serve(inlet& in);
  bool serve_errands(inlet& in);
  static void tell(inlet& in, base::time_point now);
  void rest();
  bool look_a_while(base::time_point began);
  [[nodiscard]] bool something_waits() noexcept;

  std::vector<inlet> inlets_;
  const std::string name_;
  const int cpu_;
  base::idle_policy idle_;
  std::uint32_t run_length_ = 1;
  std::atomic<bool> stop_{false};
  base::sleep_flag asleep_;
  std::thread thread_;
};

}  // namespace cpgring::dispatch
