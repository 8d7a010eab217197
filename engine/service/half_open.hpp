// Limits the number and duration of handshakes in progress. Bookkeeping only.
//
// One thread. The caller supplies the time. When a limit is reached, the oldest handshake gives way: a
// well-behaved client sends its request when it connects, and is done long before it is the oldest. Users
// whom the service will refuse anyway have a limit of their own.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.hpp"

namespace cpgring::service {

class half_open {
 public:
  static constexpr std::size_t all_max = 128, strangers_max = 48, uid_max = 32;
  static constexpr std::chrono::seconds patience{5};

  /// `stranger`: the service would refuse this user. Returns the connection that must make room, if any: hang
  /// up on it, then call end() for it.
  std::optional<std::int32_t> begin(std::int32_t fd, uid_t uid, bool stranger, base::time_point now) {
    std::optional<std::int32_t> goes = oldest_above(uid_max, [uid](const entry& e) { return e.uid == uid; });
    if (!goes && stranger) {
      goes = oldest_above(strangers_max, [](const entry& e) { return e.stranger; });
    }
    if (!goes) {
      goes = oldest_above(all_max, [](const entry&) { return true; });
    }
    open_.push_back({fd, uid, stranger, now + patience});
    return goes;
  }

  /// Gives the oldest handshake a new deadline: the service, not the client, was late.
  void extend_oldest(base::time_point now) {
    std::rotate(open_.begin(), open_.begin() + 1, open_.end());
    open_.back().until = now + patience;
  }

  void end(std::int32_t fd) noexcept {
    std::erase_if(open_, [fd](const entry& e) { return e.fd == fd; });
  }

  /// The oldest handshake, whether or not its deadline has passed; nullopt: there is none.
  [[nodiscard]] std::optional<std::int32_t> oldest() const noexcept {
    return open_.empty() ? std::nullopt : std::optional(open_.front().fd);
  }
  /// The deadline of oldest().
  [[nodiscard]] std::optional<base::time_point> due() const noexcept {
    return open_.empty() ? std::nullopt : std::optional(open_.front().until);
  }
  [[nodiscard]] std::size_t size() const noexcept { return open_.size(); }

 private:
  struct entry {
    std::int32_t fd;
    uid_t uid;
    bool stranger;
    base::time_point until;
  };
  /// The oldest entry that satisfies `test`, if at least `most` entries do.
  template <class Test>
  [[nodiscard]] std::optional<std::int32_t> oldest_above(std::size_t most, Test test) const noexcept {
    if (static_cast<std::size_t>(std::count_if(open_.begin(), open_.end(), test)) < most) {
      return std::nullopt;
    }
    return std::find_if(open_.begin(), open_.end(), test)->fd;
  }

  std::vector<entry> open_;  // by deadline, the earliest first
};

}  // namespace cpgring::service
