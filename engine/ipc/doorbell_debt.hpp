// Counts the doorbell bytes of a connection that were not read: those in the socket, and those that the
// service owes.
//
// - libqb sends one byte for each event. It counts the bytes that a full socket refuses in an int32_t and
//   aborts when that count overflows. It sends all of them at once, from a buffer of the ring's size, when
//   the socket has room.
// - So the debt must stay far below both limits: a client must read the socket from time to time, even if it
//   learns of events in another way.
// - The debt is the number of events taken from the ring minus the bytes read.
//
// Pure bookkeeping. One thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cpgring::ipc {

class doorbell_debt {
 public:
  /// The socket must be read when this many bytes are unread. A 1 MiB ring holds at most 5500 more events,
  /// together less than 16384. A smaller ring has a smaller buffer in the service; the limit is then a
  /// quarter of the ring's size, if that is less.
  static constexpr std::uint32_t due_at_most = 8192;

  explicit doorbell_debt(std::uint32_t ring_bytes) noexcept
      : due_at_(std::min(due_at_most, ring_bytes / 4)),
        ring_chunks_(ring_bytes / least_event_bytes),
        read_at_(due_at_) {}

  /// `taken`: events taken from the ring since the connection began. True: read the socket until it is empty,
  /// then call emptied().
  [[nodiscard]] bool due(std::uint64_t taken) const noexcept { return debt(taken) >= read_at_; }
  /// Bytes in the socket and owed by the service. Negative if bytes were read for events that still wait in
  /// the ring.
  [[nodiscard]] std::int64_t debt(std::uint64_t taken) const noexcept {
    return static_cast<std::int64_t>(taken - read_);
  }

  /// The socket was read until it was empty, which gave `bytes`.
  void emptied(std::uint64_t taken, std::uint64_t bytes) noexcept {
    read_ += bytes;
    // At most the events of a full ring can be ahead of their bytes. A service that sends more bytes must not
    // hide a later debt.
    read_ = std::min(read_, taken + ring_chunks_);
    const std::int64_t left = debt(taken);
    if (left < due_at_ / 8) {
      expect_no_debt();
    } else if (!owing_) {
      // The service owes the rest and can send it now that the socket has room. From here on every check
      // reads it.
      owing_ = true;
      owing_since_ = taken;
      read_at_ = 0;
    } else if (taken - owing_since_ > ring_chunks_) {
      // At least one of these events came after the socket was empty, and libqb sends owed bytes together
      // with the next event's byte. So this service has not sent a byte for each event, and owes nothing.
      read_ = taken;
      expect_no_debt();
    }
  }
  /// Other readers of the socket add the number of bytes that they read to this counter.
  [[nodiscard]] std::uint64_t& bytes_read() noexcept { return read_; }

 private:
  static constexpr std::uint32_t least_event_bytes = 32;  // length, magic, header

  void expect_no_debt() noexcept {
    owing_ = false;
    read_at_ = due_at_;
  }

  const std::int64_t due_at_;
  const std::uint64_t ring_chunks_;  // the most events that fit into the ring
  std::uint64_t read_ = 0;
  std::int64_t read_at_;
  bool owing_ = false;
  std::uint64_t owing_since_ = 0;
};

}  // namespace cpgring::ipc
