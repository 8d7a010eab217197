// Log lines that somebody else can cause any number of: the first of a cause is said at once, more of them are counted and summed up.
//
// One thread. Has no clock of its own.
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
  /// What a sum says around its number: "refused", "connections of uid 7" make "in the last 10 s refused 25 more connections of uid 7".
  struct cause {
    std::string before, after;
    friend auto operator<=>(const cause&, const cause&) = default;
  };
  /// Causes that are told from each other; further ones share one sum.
  static constexpr std::size_t causes_max = 128;

  limited_log(log_callback to, std::chrono::seconds period) : to_(std::move(to)), period_(period) {}

  /// A line that is never left out.
  void say(log_level level, std::string_view text) const {
    if (to_) {
      to_(level, text);
    }
  }

  /// `text` is said, or counted under `why`.
  void say(log_level level, cause why, std::string_view text, time_point now) {
    if (!to_) {
      return;
    }
    sum_up(now);
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

  /// Tells the sums that are due.
  void sum_up(time_point now) {
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

  /// Tells every sum, due or not.
  void finish() {
    for (const auto& [why, p] : open_) {
      if (p.count > 0) {
        tell(why, p);
      }
    }
    open_.clear();
  }

  /// When sum_up() has something to do.
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
    to_(p.level,
        fmt::format("in the last {} s {}{}{} more {}", period_.count(), why.before, why.before.empty() ? "" : " ", p.count, why.after));
  }

  log_callback to_;
  std::chrono::seconds period_;
  std::map<cause, period> open_;
};

}  // namespace cpgring::base
