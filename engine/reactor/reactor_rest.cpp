// What a reactor does when nothing waits: it polls, arms its sources and sleeps.
#include <sched.h>

#include <algorithm>

#include "base/hot.hpp"
#include "base/relax.hpp"
#include "reactor/reactor.hpp"

namespace cpgring::reactor {
namespace {

// Answers that nothing announces (no semaphore wait) are polled for in growing intervals.
constexpr base::nanoseconds answer_pause_min{50000}, answer_pause_max{1000000};

}  // namespace

CPGRING_HOT bool reactor::any_ready(const source* only) const noexcept {
  if (only != nullptr) {
    return only->slot_ != source::no_slot && (only->has_work_ || only->waiting());
  }
  return std::any_of(active_.begin(), active_.end(),
                     [](const source& s) { return s.has_work_ || s.waiting(); });
}

/// True: an event was found after arming.
CPGRING_HOT bool reactor::arm(source& what) {
  if (!what.paused_ && !std::exchange(what.events_armed_, true)) {
    backend_->arm_event(what.slot_);
  }
  if (what.expects_answers_ && !what.answers_armed_) {
    what.answers_armed_ = backend_->arm_answer(what.slot_);
    answers_polled_ = answers_polled_ || !what.answers_armed_;
  }
  return what.has_work_ || what.waiting();  // the second check, after arming
}

/// Arms all active sources that have nothing, and removes them from the active list. True: for one of them
/// the second check found something.
CPGRING_HOT bool reactor::arm_quiet(const source* only) {
  bool found = false;
  answers_polled_ = false;
  for (auto at = active_.begin(); at != active_.end();) {
    source& what = *at;
    const bool waits = what.has_work_ || what.waiting();
    if (waits || arm(what)) {
      found = found || only == nullptr || only == &what;
      ++at;
    } else if (what.expects_answers_ && !what.answers_armed_) {
      ++at;  // nothing will announce its answer: it stays active and is polled
    } else {
      at = active_.erase(at);
    }
  }
  return found;
}

CPGRING_HOT bool reactor::poll_before_sleep(base::time_point began, base::time_point until,
                                            const source* only, bool soon) {
  const base::nanoseconds window = idle_.window(soon);
  if (window.count() == 0) {
    return false;
  }
  const auto end = std::min(until, began + window);
  for (std::uint32_t round = 1;; ++round) {
    if (any_ready(only) || backend_->poll() ||
        (intake_.pending != nullptr && intake_.pending(intake_.context))) {
      idle_.waited(soon, base::clock::now() - began, false);
      return true;
    }
    base::relax();
    if (round % 16 == 0 && base::clock::now() >= end) {
      idle_.polled_in_vain(end - began);
      return false;
    }
    if (round % 64 == 0) {
      // The service's threads may need this CPU to send the event; this speeds up the slowest trips.
      ::sched_yield();
    }
  }
}

CPGRING_HOT std::optional<base::time_point> reactor::wake_time(base::time_point until) const noexcept {
  std::optional<base::time_point> at = timers_.next();
  if (until != base::time_point::max() && (!at || until < *at)) {
    at = until;
  }
  if (answers_polled_ && (!at || base::clock::now() + answer_pause_ < *at)) {
    at = base::clock::now() + answer_pause_;
  }
  return at;
}

CPGRING_HOT void reactor::rest(base::time_point until, const source* only, bool soon) {
  if (!idle_.sleeps()) {
    // Sources beyond polling_max are armed, so that a round stays short whatever their number.
    if (active_.size() > options_.polling_max) {
      arm_quiet(only);
    }
    if (idle_.yields()) {
      ::sched_yield();
    } else {
      base::relax();
    }
    return;
  }
  const auto began = base::clock::now();
  const bool measured = idle_.measures(began);
  if (measured) [[unlikely]] {
    idle_.sample(began, base::usage_of_this_thread(idle_.polls_pay(soon)));
  }
  if (poll_before_sleep(began, until, only, soon) || arm_quiet(only)) {
    return;
  }
  answer_pause_ = answers_polled_ ? std::clamp(answer_pause_ * 2, answer_pause_min, answer_pause_max)
                                  : base::nanoseconds(0);
  sleeping_.announce();
  if (intake_.pending != nullptr && intake_.pending(intake_.context)) {
    sleeping_.awake();
    return;
  }
  counters_.sleeps.add();
  const auto used = measured ? base::thread_cpu_time() : base::nanoseconds(0);
  backend_->sleep(wake_time(until));
  sleeping_.awake();
  if (measured) [[unlikely]] {
    idle_.sleep_cost(base::thread_cpu_time() - used);
  }
  if (const auto now = base::clock::now(); now < until) {  // otherwise the caller's time has run out
    idle_.waited(soon, now - began, true);
  }
}

void reactor::prepare_foreign_wait() {
  const bool leftover = arm_quiet(nullptr);
  if (answers_polled_) {
    answer_pause_ = std::clamp(answer_pause_ * 2, answer_pause_min, answer_pause_max);
  }
  sleeping_.announce();
  const bool now = leftover || (intake_.pending != nullptr && intake_.pending(intake_.context));
  backend_->prepare_foreign_wait(wake_time(base::time_point::max()), now);
}

}  // namespace cpgring::reactor
