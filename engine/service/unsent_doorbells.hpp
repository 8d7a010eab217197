// Estimates how many doorbell bytes libqb owes one client, and limits that number.
//
// libqb sends one byte for each event and counts the bytes that a full socket refuses. It aborts when that
// count passes 2^31. It sends all of them in one call, from a buffer of the ring's size, and that call spins
// if the socket takes only a part. libqb's public interface does not show the count, but libqb asks its event
// loop to report room on the socket exactly while it owes bytes.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cpgring::service {

class unsent_doorbells {
 public:
  /// Up to 36 KiB fit into one buffer of a Unix socket, so a send of this size succeeds or fails as a whole.
  static constexpr std::uint32_t limit_most = 32768;

  /// `event_max`: the size of libqb's buffer.
  explicit unsent_doorbells(std::uint32_t event_max = 0) noexcept
      : limit_(std::min(limit_most, event_max / 2)) {}

  /// An event was written. `waits_for_room`: libqb waits until the socket is writable.
  void sent(bool waits_for_room) noexcept { count_ = waits_for_room ? count_ + 1 : 0; }
  /// True: no further event may be sent while libqb waits for room.
  [[nodiscard]] bool at_limit() const noexcept { return count_ > limit_; }
  /// An upper bound of what libqb owes: how much a partial send took is not known.
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }

 private:
  std::uint32_t limit_;
  std::uint32_t count_ = 0;
};

}  // namespace cpgring::service
