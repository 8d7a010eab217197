// How long to look before sleeping. One thread.
//
// adaptive: a window that doubles when something came soon after we had slept (looking a little longer would have saved the sleep), and
// halves when looking was in vain. The same law as the kernel's haltpoll.
#pragma once

#include <algorithm>
#include <thread>

#include <cpgring/options.hpp>

#include "base/clock.hpp"

namespace cpgring::reactor {

class idle_policy {
 public:
  // A wake-up costs 10-30 us on a virtual machine; looking much longer than that never pays.
  static constexpr base::nanoseconds window_max{50000}, window_min{1000};

  explicit idle_policy(idle strategy) noexcept
      : strategy_(strategy), adaptive_(strategy == idle::adaptive && std::thread::hardware_concurrency() > 1) {}

  [[nodiscard]] bool sleeps() const noexcept { return strategy_ == idle::block || strategy_ == idle::adaptive; }
  [[nodiscard]] bool yields() const noexcept { return strategy_ == idle::yield; }
  /// How long to look before the next sleep.
  [[nodiscard]] base::nanoseconds window() const noexcept { return adaptive_ ? window_ : base::nanoseconds(0); }
  void looked_in_vain() noexcept { window_ = window_ <= window_min ? base::nanoseconds(0) : window_ / 2; }
  void slept(base::nanoseconds how_long) noexcept {
    if (how_long < window_max) {
      window_ = std::min(window_max, std::max(window_min, window_ * 2));
    }
  }

 private:
  idle strategy_;
  bool adaptive_;
  base::nanoseconds window_{0};
};

}  // namespace cpgring::reactor
