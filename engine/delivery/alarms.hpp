// Scheduled tasks: each runs once at a point in time, or repeatedly, until it is cancelled.
//
// Reactor thread only, except alarm_state::cancelled.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>

#include <cpgring/function.hpp>

#include "base/clock.hpp"
#include "reactor/reactor.hpp"

namespace cpgring::delivery {

/// The state that a scheduled_task and its alarm share.
struct alarm_state {
  /// Runs the task. After its last run the task and its captures are destroyed, also if it threw.
  void run(bool again);

  /// Any thread. Relaxed: it only keeps runs from beginning; nothing is published with it.
  std::atomic<bool> cancelled{false};
  function<void()> task;
  bool waits = false;    // was given to run_later, has not begun
  bool running = false;  // `task` must not be destroyed now
};

/// An alarm on its way to the reactor's thread. If it does not get there, the task and its captures are
/// destroyed with this object.
class unscheduled {
 public:
  explicit unscheduled(std::shared_ptr<alarm_state> which) noexcept : which_(std::move(which)) {}
  unscheduled(unscheduled&&) noexcept = default;
  unscheduled& operator=(unscheduled&&) = delete;
  ~unscheduled() {
    if (which_) {
      which_->task = nullptr;
    }
  }
  [[nodiscard]] std::shared_ptr<alarm_state> take() noexcept { return std::move(which_); }
  [[nodiscard]] bool cancelled() const noexcept { return which_->cancelled.load(std::memory_order_relaxed); }

 private:
  std::shared_ptr<alarm_state> which_;
};

class alarms {
 public:
  using add_task = std::function<void(function<void()>)>;
  /// `run_later`: queues an event that runs a due task.
  explicit alarms(add_task run_later) : run_later_(std::move(run_later)) {}
  ~alarms();
  alarms(const alarms&) = delete;
  alarms& operator=(const alarms&) = delete;

  /// `interval` 0: once. Precondition: `loop` outlives the alarm, or forget_all() is called first.
  void add(reactor::reactor& loop, std::shared_ptr<alarm_state> state, base::time_point when,
           base::nanoseconds interval);
  void remove(const std::shared_ptr<alarm_state>& state) noexcept;
  [[nodiscard]] bool empty() const noexcept { return all_.empty(); }
  /// The loop has ended: no alarm expires any more.
  void forget_all() noexcept;

 private:
  struct alarm final : reactor::timer {
    alarm(alarms& o, reactor::reactor& l, std::shared_ptr<alarm_state> s, base::time_point w,
          base::nanoseconds i)
        : of(o), loop(l), state(std::move(s)), when(w), interval(i) {}
    void expired() override;
    alarms& of;
    reactor::reactor& loop;
    const std::shared_ptr<alarm_state> state;
    base::time_point when;
    const base::nanoseconds interval;
  };

  add_task run_later_;
  std::unordered_map<const alarm_state*, std::unique_ptr<alarm>> all_;
};

}  // namespace cpgring::delivery
