// Monotonic time, read once per round of a reactor.
#pragma once

#include <chrono>

namespace cpgring::base {

using clock = std::chrono::steady_clock;
using time_point = clock::time_point;
using std::chrono::nanoseconds;

/// `from` plus `span`, or the latest representable time if that is earlier.
constexpr time_point later(time_point from, nanoseconds span) noexcept {
  return span > time_point::max() - from ? time_point::max() : from + span;
}

/// The time of one shard: read once per round, then the same for everything in that round. Tests replace the
/// source.
class shard_clock {
 public:
  using source = time_point (*)();
  explicit shard_clock(source from = &clock::now) noexcept : source_(from), now_(from()) {}
  /// The time of the last update().
  [[nodiscard]] time_point now() const noexcept { return now_; }
  time_point update() noexcept { return now_ = source_(); }
  /// The current time.
  [[nodiscard]] time_point read() const noexcept { return source_(); }

 private:
  const source source_;
  time_point now_;
};

}  // namespace cpgring::base
