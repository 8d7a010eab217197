// Connections whose handshake is under way: how many there may be, and for how long. Pure bookkeeping.
//
// One thread. Has no clock of its own. Where there is no room for one more, the oldest goes: a client that does what it should sends its
// request with its connection and is through before its turn comes. Users that the service will refuse anyway have a share of their own.
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

  /// `stranger`: the service would refuse it. Whom to hang up on, and then end(), to make room for it.
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

  void end(std::int32_t fd) noexcept {
    std::erase_if(open_, [fd](const entry& e) { return e.fd == fd; });
  }

  /// The one that began first, whatever the time; nullopt: there is none.
  [[nodiscard]] std::optional<std::int32_t> oldest() const noexcept {
    return open_.empty() ? std::nullopt : std::optional(open_.front().fd);
  }
  /// When that one's time is over.
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
  /// The oldest of these where there are `most` already.
  template <class Test>
  [[nodiscard]] std::optional<std::int32_t> oldest_above(std::size_t most, Test test) const noexcept {
    if (static_cast<std::size_t>(std::count_if(open_.begin(), open_.end(), test)) < most) {
      return std::nullopt;
    }
    return std::find_if(open_.begin(), open_.end(), test)->fd;
  }

  std::vector<entry> open_;  // in the order in which they began
};

}  // namespace cpgring::service
