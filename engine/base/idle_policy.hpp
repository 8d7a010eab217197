// How long a thread with nothing to do looks for work before it sleeps. Of that thread alone.
//
// adaptive: a window that doubles when something came soon after we had slept (looking a little longer would have saved the sleep), and
// halves when looking was in vain. The same law as the kernel's haltpoll.
#pragma once

#include <algorithm>
#include <thread>

#include <cpgring/options.hpp>

#include "base/clock.hpp"

namespace cpgring::base {

class idle_policy {
 public:
  // A wake-up takes 10-30 us on a virtual machine; looking much longer than that never pays.
  static constexpr nanoseconds window_max{50000}, window_min{1000};

  explicit idle_policy(idle strategy, nanoseconds longest = window_max) noexcept
      : strategy_(strategy), adaptive_(strategy == idle::adaptive && std::thread::hardware_concurrency() > 1), longest_(longest) {}

  [[nodiscard]] bool sleeps() const noexcept { return strategy_ == idle::block || strategy_ == idle::adaptive; }
  [[nodiscard]] bool yields() const noexcept { return strategy_ == idle::yield; }
  /// How long to look before the next sleep.
  [[nodiscard]] nanoseconds window() const noexcept { return adaptive_ ? window_ : nanoseconds(0); }
  /// The same, for what is known to come within about that time.
  [[nodiscard]] nanoseconds window_for_soon() const noexcept { return adaptive_ ? longest_ : nanoseconds(0); }
  void looked_in_vain() noexcept { window_ = window_ <= window_min ? nanoseconds(0) : window_ / 2; }
  void slept(nanoseconds how_long) noexcept {
    if (how_long < longest_) {
      window_ = std::min(longest_, std::max(window_min, window_ * 2));
    }
  }

 private:
  idle strategy_;
  bool adaptive_;
  nanoseconds longest_;
  nanoseconds window_{0};
};

}  // namespace cpgring::base
