// A clock that only the test moves, usable as a base::shard_clock::source.
#pragma once

#include <chrono>

#include "base/clock.hpp"

namespace cpgring::test {

/// The time is shared by the whole process, because a source is a plain function; each test constructs an
/// object to reset it. The start is far from zero, so that a default time_point is in the past.
class manual_clock {
 public:
  manual_clock() noexcept { now_ = base::time_point(std::chrono::hours(1000)); }
  manual_clock(const manual_clock&) = delete;
  manual_clock& operator=(const manual_clock&) = delete;

  static base::time_point read() noexcept { return now_; }
  static void advance(base::nanoseconds span) noexcept { now_ += span; }

 private:
  static inline base::time_point now_;
};

}  // namespace cpgring::test
