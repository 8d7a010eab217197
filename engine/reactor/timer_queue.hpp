// Deadlines in order. Intrusive: allocates nothing, and cancelling needs no search. One thread.
#pragma once

#include <boost/intrusive/set.hpp>
#include <optional>

#include "base/hot.hpp"
#include "reactor/source.hpp"

namespace cpgring::reactor {

struct earlier {
  bool operator()(const timer& a, const timer& b) const noexcept { return a.at_ < b.at_; }
};

class timer_queue {
 public:
  ~timer_queue() { queue_.clear(); }

  /// Schedules a timer, or moves it if it is scheduled already.
  void schedule(timer& which, base::time_point at) {
    cancel(which);
    which.at_ = at;
    queue_.insert(which);
  }
  void cancel(timer& which) noexcept {
    if (which.hook_.is_linked()) {
      queue_.erase(queue_.iterator_to(which));
    }
  }
  [[nodiscard]] std::optional<base::time_point> next() const noexcept {
    return queue_.empty() ? std::nullopt : std::optional(queue_.begin()->at_);
  }
  /// Runs the timers that are due at `now`, earliest first. A timer that schedules itself again must choose a
  /// time after `now`.
  CPGRING_HOT void run_due(base::time_point now) {
    while (!queue_.empty() && queue_.begin()->at_ <= now) {
      timer& due = *queue_.begin();
      queue_.erase(queue_.begin());
      due.expired();
    }
  }

 private:
  boost::intrusive::multiset<timer, timer::queue_option, boost::intrusive::compare<earlier>> queue_;
};

}  // namespace cpgring::reactor
