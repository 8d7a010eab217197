// How long a thread without work polls before it sleeps. For that thread only.
//
// With `adaptive` the polling window doubles after a wait that polling for the longest window would have
// covered, and halves after a longer one. The whole wait counts, the polling before the sleep included. The
// kernel's haltpoll governor uses the same rule.
#pragma once

#include <algorithm>
#include <thread>

#include <cpgring/options.hpp>

#include "base/clock.hpp"

namespace cpgring::base {

class idle_policy {
 public:
  // A message returns from a stock daemon after 30-50 us, and on a virtual machine the measured wait contains
  // a wake-up of 10-30 us. A window shorter than their sum would close where polling is most useful.
  static constexpr nanoseconds window_max{100000}, window_min{1000};

  explicit idle_policy(idle strategy, nanoseconds longest = window_max) noexcept
      : strategy_(strategy),
        adaptive_(strategy == idle::adaptive && std::thread::hardware_concurrency() > 1),
        longest_(longest) {}

  [[nodiscard]] bool sleeps() const noexcept {
    return strategy_ == idle::block || strategy_ == idle::adaptive;
  }
  [[nodiscard]] bool yields() const noexcept { return strategy_ == idle::yield; }
  /// How long to poll before the next sleep.
  [[nodiscard]] nanoseconds window() const noexcept { return adaptive_ ? window_ : nanoseconds(0); }
  /// The same if work is known to arrive within about that time.
  [[nodiscard]] nanoseconds window_for_soon() const noexcept { return adaptive_ ? longest_ : nanoseconds(0); }
  /// After a sleep. `whole_wait`: the time since polling began.
  void slept(nanoseconds whole_wait) noexcept {
    if (whole_wait < longest_) {
      window_ = std::min(longest_, std::max(window_min, window_ * 2));
    } else {
      window_ = window_ <= window_min ? nanoseconds(0) : window_ / 2;
    }
  }

 private:
  idle strategy_;
  bool adaptive_;
  nanoseconds longest_;
  nanoseconds window_{0};
};

}  // namespace cpgring::base
