// Monotonic time. One reading serves a whole turn of the reactor.
#pragma once

#include <chrono>

namespace cpgring::base {

using clock = std::chrono::steady_clock;
using time_point = clock::time_point;
using std::chrono::nanoseconds;

}  // namespace cpgring::base
