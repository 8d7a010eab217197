// Monotonic time. One reading serves a whole turn of the reactor.
#pragma once

#include <chrono>

namespace cpgring::base {

using clock = std::chrono::steady_clock;
using time_point = clock::time_point;
using std::chrono::nanoseconds;

/// `from` plus `span`; the last point there is where that is beyond it.
constexpr time_point later(time_point from, nanoseconds span) noexcept {
  return span > time_point::max() - from ? time_point::max() : from + span;
}

}  // namespace cpgring::base
