// Decides whether and when a supervised handle gets its next connection, and records the outage.
//
// No reactor, no clock: time is passed in. Reactor thread only.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

#include <cpgring/event.hpp>
#include <cpgring/options.hpp>

#include "base/clock.hpp"

namespace cpgring::runtime {

/// Errors that waiting does not cure.
[[nodiscard]] inline bool is_permanent(const error& why) {
  constexpr errc permanent[] = {
      errc::access,        errc::version, errc::invalid_param,      errc::name_too_long,
      errc::not_supported, errc::forked,  errc::unsupported_kernel, errc::stopped,
      errc::closed};
  return std::any_of(std::begin(permanent), std::end(permanent), [&why](errc code) { return why == code; });
}

class supervisor {
 public:
  supervisor(const supervision_options& options, std::uint32_t seed) noexcept
      : options_(options), random_(seed) {}

  [[nodiscard]] bool supervises() const noexcept { return options_.reconnect; }
  /// After a loss: another connection will be tried.
  [[nodiscard]] bool retries_after(const error& why) const {
    return options_.reconnect && !is_permanent(why) &&
           (options_.attempts_max == 0 || attempts_ < options_.attempts_max);
  }
  /// Two or more connections or attempts in a row have failed: further failures are logged as debug.
  [[nodiscard]] bool failed_repeatedly() const noexcept { return attempts_ > 1; }
  /// The handle has arrived before: the next arrival ends an outage.
  [[nodiscard]] bool was_there() const noexcept { return was_there_; }

  /// A connection was lost, or could not be made. Returns when the next one is tried.
  base::time_point lost(base::time_point now) {
    if (attempts_ == 0) {
      lost_at_ = now;
    }
    // Half of the span is random, so that the handles of a restarted service do not connect all at once.
    const std::int64_t longest = std::min<std::int64_t>(
        options_.backoff_max.count(), options_.backoff_min.count() << std::min(attempts_, 20U));
    const auto wait = std::uniform_int_distribution<std::int64_t>((longest + 1) / 2, longest)(random_);
    ++attempts_;
    return now + std::chrono::milliseconds(wait);
  }
  /// The service answers on a new connection.
  void answered(base::time_point now) noexcept { back_ = {attempts_, now - lost_at_}; }
  /// The handle is in its group, or ready if it has none. The outage is over.
  void arrived() noexcept {
    was_there_ = true;
    attempts_ = 0;
  }
  /// The last outage, as of answered().
  [[nodiscard]] restoration last_outage() const noexcept { return back_; }
  /// The outage that still lasts.
  [[nodiscard]] restoration outage(base::time_point now) const noexcept {
    return {attempts_, now - lost_at_};
  }

 private:
  const supervision_options& options_;
  std::minstd_rand random_;
  std::uint32_t attempts_ = 0;  // since the handle last arrived
  base::time_point lost_at_{};
  restoration back_;
  bool was_there_ = false;
};

}  // namespace cpgring::runtime
