// Station D3 of 9: from reactor/reactor, to cpg/codec.
//
// Looks ahead in a ring that the service writes and leases its chunks in place. One thread. Reclaiming is in ring_reclaim.cpp (D9).
// Invariants: I1 that a chunk is there is said by the semaphore alone: magic and write position may lie (old payload, chunks half written).
// I2 counts are taken before the read position moves, else the writer would take an empty ring for a full one. I3 length and magic are read
// once; what they say is checked against what lies between here and the write position; on nonsense the reader is broken for good. I4
// leased and unread chunks together are shorter than the ring, so nothing outside of the double mapping is ever referred to, whatever the
// service writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include <cpgring/error.hpp>

#include "base/checked_read.hpp"
#include "base/refuse.hpp"
#include "ipc/chunk_format.hpp"
#include "ipc/shared_ring.hpp"

namespace cpgring::ipc {

/// One chunk's payload, in place: writable, contiguous, 4-byte aligned. Valid until it is reclaimed.
struct frame {
  std::byte* data = nullptr;
  std::uint32_t size = 0;
};

enum class look { frame, empty, broken };

class ring_reader {
 public:
  /// `ring` outlives the reader; its mapping must not move. `name` is for errors: "event ring".
  explicit ring_reader(const shared_ring& ring, std::string_view name = "event ring") noexcept;

  /// Counts on the semaphore that were not yet taken; 0: nothing new.
  [[nodiscard]] std::uint32_t waiting() const noexcept {
    // SYNC ring_semaphore: what the service wrote before its post is seen once the count is.
    return chunk_format::value_of(__atomic_load_n(semaphore_, __ATOMIC_ACQUIRE));
  }
  /// Taken, not yet leased. After a fault: 1 for ever, so that whoever drains this ring comes to hear of it.
  [[nodiscard]] std::uint32_t ready() const noexcept { return ready_; }
  /// Taken since the beginning.
  [[nodiscard]] std::uint64_t taken() const noexcept { return taken_; }
  /// Leased, not yet reclaimed; no limit but the ring.
  [[nodiscard]] std::uint32_t leased() const noexcept { return leased_; }
  [[nodiscard]] std::uint32_t leased_bytes() const noexcept { return leased_words_ * 4; }
  [[nodiscard]] std::uint32_t capacity_bytes() const noexcept { return words_ * 4; }
  /// Bytes of the ring that chunks take up now, unread ones included; capacity_bytes() when the service wrote nonsense.
  [[nodiscard]] std::uint32_t used_bytes() const noexcept {
    const std::uint32_t write = base::read_once_u32(write_position_);
    return (write < words_ ? chunk_format::distance(read_, write, words_) : words_) * 4;
  }
  /// What a futex waits on.
  [[nodiscard]] std::uint64_t* semaphore_word() const noexcept { return semaphore_; }

  /// Takes all counts there are, in one step; returns ready(). Nonsense shows at the following next().
  std::uint32_t collect() noexcept {
    const std::uint32_t there = waiting();
    return there == 0 ? ready_ : take(there);
  }

  /// Leases the next chunk. `empty`: ready() is 0. `broken`: fault() says why, and it stays so.
  look next(frame& out) noexcept {
    if (ready_ == 0) [[unlikely]] {
      return look::empty;
    }
    std::uint32_t* const at = word(scan_);
    // SYNC chunk_ready: without it length and payload could be older than the magic that vouches for them.
    const std::uint32_t magic = __atomic_load_n(at + 1, __ATOMIC_ACQUIRE);
    const std::uint32_t length = base::read_once_u32(at);
    const std::uint32_t step = chunk_format::words_of(length);
    if (magic != chunk_format::magic_ready || step > unread_words_) [[unlikely]] {
      return refuse_chunk(magic, length);
    }
    out = {reinterpret_cast<std::byte*>(at + chunk_format::words_ahead), length};
    const std::uint32_t next = scan_ + step;
    scan_ = next >= words_ ? next - words_ : next;
    unread_words_ -= step;
    leased_words_ += step;
    ++leased_;
    --ready_;
    fetch_ahead(step);
    return look::frame;
  }

  /// Gives the oldest leased chunks back, 0 .. leased(). D9: see ring_reclaim.cpp. After a fault it does nothing.
  void reclaim(std::uint32_t oldest_chunks) noexcept;

  /// Since it was last asked there was a moment in which an event might not have fitted. A service that met a full ring queues, and an idle
  /// one looks at its queue only every 50 ms unless a request comes: so whoever has drained the ring and hears `true` sends one (a poke).
  /// Asking clears it. Exact where events are up to a quarter of the ring or no larger than those that have come before; a first larger one
  /// may cost 50 ms once.
  [[nodiscard]] bool nearly_full_seen() noexcept { return std::exchange(nearly_full_, false); }

  [[nodiscard]] bool broken() const noexcept { return static_cast<bool>(refused_); }
  /// Names the field. Only after `broken`.
  [[nodiscard]] error fault() const;

 private:
  [[nodiscard]] std::uint32_t* word(std::uint32_t position) const noexcept { return data_ + position; }
  /// Events tend to be as long as the one before: the lines of one a few ahead are fetched while this one is worked on, that of its header
  /// for writing, because reclaiming writes there.
  void fetch_ahead(std::uint32_t step) const noexcept {
    constexpr std::uint32_t distance = 8, fields = 40, payload = 48;  // words: where an event says its length, where its payload begins
    const std::uint64_t at = std::uint64_t{scan_} + std::uint64_t{distance - 1} * step;
    if (at + payload < std::uint64_t{words_} * 2) {
      __builtin_prefetch(data_ + at, 1);
      __builtin_prefetch(data_ + at + fields);
      __builtin_prefetch(data_ + at + payload);
    }
  }
  std::uint32_t take(std::uint32_t there) noexcept;
  look refuse_chunk(std::uint32_t magic, std::uint32_t length) noexcept;
  void refuse(base::refusal what) noexcept;

  // What next() touches, in one cache line.
  std::uint32_t* data_;
  std::uint64_t* semaphore_;
  std::uint32_t words_;
  std::uint32_t scan_ = 0;          // position of the next chunk to lease
  std::uint32_t ready_ = 0;         // counts taken from the semaphore, chunks not yet leased
  std::uint32_t unread_words_ = 0;  // from scan_ to the write position, as of the last take()
  std::uint32_t leased_ = 0;
  std::uint32_t leased_words_ = 0;  // from read_ to scan_

  std::uint32_t read_ = 0;           // position of the oldest leased chunk: what the service sees
  std::uint32_t largest_words_ = 0;  // the largest chunk so far, at least a quarter of the ring
  std::uint32_t* write_position_;
  std::uint32_t* read_position_;
  bool nearly_full_ = false;
  std::uint64_t taken_ = 0;
  base::refusal refused_;
  std::string_view name_;
};

}  // namespace cpgring::ipc
