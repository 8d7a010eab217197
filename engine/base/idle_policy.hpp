// How long a thread with nothing to do looks for work before it sleeps. Of that thread alone.
//
// adaptive: a window that doubles when something came after a sleep so soon that looking would have met it, and halves when it came later.
// What counts is the whole wait, the looking before the sleep included. The same law as the kernel's haltpoll.
#pragma once

#include <algorithm>
#include <thread>

#include <cpgring/options.hpp>

#include "base/clock.hpp"

namespace cpgring::base {

class idle_policy {
 public:
  // A message comes back from a stock daemon after 30-50 us, and a wake-up takes 10-30 us more on a virtual machine, which the wait that
  // is measured contains. With less than their sum the window would close where looking pays most.
  static constexpr nanoseconds window_max{100000}, window_min{1000};

  explicit idle_policy(idle strategy, nanoseconds longest = window_max) noexcept
      : strategy_(strategy), adaptive_(strategy == idle::adaptive && std::thread::hardware_concurrency() > 1), longest_(longest) {}

  [[nodiscard]] bool sleeps() const noexcept { return strategy_ == idle::block || strategy_ == idle::adaptive; }
  [[nodiscard]] bool yields() const noexcept { return strategy_ == idle::yield; }
  /// How long to look before the next sleep.
  [[nodiscard]] nanoseconds window() const noexcept { return adaptive_ ? window_ : nanoseconds(0); }
  /// The same, for what is known to come within about that time.
  [[nodiscard]] nanoseconds window_for_soon() const noexcept { return adaptive_ ? longest_ : nanoseconds(0); }
  /// After a sleep: how long nothing had come, since the looking began.
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
