// Limits log lines that others can cause any number of: the first line of a cause is logged at once, further
// ones are counted and summed up.
//
// One thread. Time is passed in.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <cpgring/log.hpp>

#include "base/clock.hpp"

namespace cpgring::base {

class limited_log {
 public:
  /// The text around the number of a sum: {"refused", "connections of uid 7"} gives "in the last 10 s refused
  /// 25 more connections of uid 7".
  struct cause {
    std::string before, after;
    friend auto operator<=>(const cause&, const cause&) = default;
  };
  /// Number of causes that are counted separately; further ones share one sum.
  static constexpr std::size_t causes_max = 128;

  limited_log(log_callback to, std::chrono::seconds period) : to_(std::move(to)), period_(period) {}

  /// Logs a line without a limit.
  void say(log_level level, std::string_view text) const {
    if (to_) {
      to_(level, text);
    }
  }

  /// Logs `text`, or counts it under `why`.
  void say(log_level level, cause why, std::string_view text, time_point now) {
    if (!to_) {
      return;
    }
    write_due_sums(now);
    if (open_.size() >= causes_max && !open_.contains(why)) {
      why = {"", "lines of other causes"};
    }
    const auto [at, fresh] = open_.try_emplace(std::move(why), period{now + period_, level, 0});
    if (fresh) {
      to_(level, text);
    } else {
      ++at->second.count;
    }
  }

  /// Logs the sums that are due.
  void write_due_sums(time_point now) {
    for (auto at = open_.begin(); at != open_.end();) {
      auto& [why, p] = *at;
      if (p.until > now) {
        ++at;
      } else if (p.count == 0) {
        at = open_.erase(at);
      } else {
        tell(why, p);
        p.count = 0;
        p.until = now + period_;
        ++at;
      }
    }
  }

  /// Logs every sum, due or not.
  void finish() {
    for (const auto& [why, p] : open_) {
      if (p.count > 0) {
        tell(why, p);
      }
    }
    open_.clear();
  }

  /// The time at which write_due_sums() has something to do.
  [[nodiscard]] std::optional<time_point> due() const noexcept {
    std::optional<time_point> first;
    for (const auto& [why, p] : open_) {
      if (!first || p.until < *first) {
        first = p.until;
      }
    }
    return first;
  }

 private:
  struct period {
    time_point until;
    log_level level;
    std::uint64_t count;
  };

  void tell(const cause& why, const period& p) const {
    to_(p.level, fmt::format("in the last {} s {}{}{} more {}", period_.count(), why.before,
                             why.before.empty() ? "" : " ", p.count, why.after));
  }

  log_callback to_;
  std::chrono::seconds period_;
  std::map<cause, period> open_;
};

}  // namespace cpgring::base
