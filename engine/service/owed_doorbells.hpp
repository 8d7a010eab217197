// How many doorbell bytes libqb owes one client, seen from outside of libqb, and how many it may owe.
//
// libqb sends a byte for each event and counts what the client's full socket refuses. It aborts when the count passes 2^31, and sends all
// of it from a buffer of the ring's size in one call, which spins when the socket takes a part only. Its public interface does not show the
// count, but it asks its event loop to report room on the socket exactly as long as it owes something.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cpgring::service {

class owed_doorbells {
 public:
  /// Up to 36 KiB are one buffer of a Unix socket, so they are sent as a whole or not at all.
  static constexpr std::uint32_t limit_most = 32768;

  /// `event_max`: size of libqb's buffer.
  explicit owed_doorbells(std::uint32_t event_max = 0) noexcept : limit_(std::min(limit_most, event_max / 2)) {}

  /// An event was written; `waits_for_room`: libqb waits for room on the socket.
  void sent(bool waits_for_room) noexcept { count_ = waits_for_room ? count_ + 1 : 0; }
  /// No further event may be sent as long as libqb waits for room.
  [[nodiscard]] bool at_limit() const noexcept { return count_ > limit_; }
  /// What libqb owes, or more: what a partial send took is not known.
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }

 private:
  std::uint32_t limit_;
  std::uint32_t count_ = 0;
};

}  // namespace cpgring::service
