// Station D3 of 9: from reactor/reactor, to cpg/codec.
//
// Looks ahead in a ring that the service writes and leases its chunks in place. One thread. Reclaiming is in ring_reclaim.cpp (D9).
// Invariants: I1 that a chunk is there is said by the semaphore alone: magic and write position may lie (old payload, chunks half written). I2 counts are taken
// before the read position moves, else the writer would take an empty ring for a full one. I3 length and magic are read once; what they say is
// checked against the part of the ring that can be unread; on nonsense the reader is broken for good. I4 at most `window` chunks are leased at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <cpgring/error.hpp>

#include "base/checked_read.hpp"
#include "ipc/chunk_format.hpp"
#include "ipc/shared_ring.hpp"

namespace cpgring::ipc {

/// One chunk's payload, in place: writable, contiguous, 4-byte aligned.
struct frame {
  std::byte* data = nullptr;
  std::uint32_t size = 0;
};

enum class look { frame, empty, broken };

class ring_reader {
 public:
  /// Chunks leased and not yet reclaimed. Their lengths are kept here, because the ring's may have been changed since they were checked.
  static constexpr std::uint32_t window = 256;

  explicit ring_reader(const shared_ring& ring) noexcept;

  /// Counts on the semaphore that were not yet taken; 0: nothing new.
  [[nodiscard]] std::uint32_t waiting() const noexcept {
    // SYNC ring_semaphore: what the service wrote before its post is seen once the count is.
    return chunk_format::value_of(__atomic_load_n(ring_.semaphore(), __ATOMIC_ACQUIRE));
  }
  /// Taken, not yet leased.
  [[nodiscard]] std::uint32_t ready() const noexcept { return ready_; }
  [[nodiscard]] std::uint32_t leased() const noexcept { return leased_; }
  [[nodiscard]] std::uint32_t capacity_bytes() const noexcept { return ring_.bytes(); }
  /// What a futex waits on.
  [[nodiscard]] std::uint64_t* semaphore_word() const noexcept { return ring_.semaphore(); }

  /// Takes all counts there are, in one step; returns ready().
  std::uint32_t collect() noexcept {
    const std::uint32_t there = waiting();
    if (there != 0) {
      // SYNC ring_semaphore: only we take counts, so there are still at least as many.
      __atomic_fetch_sub(ring_.semaphore(), std::uint64_t{there}, __ATOMIC_ACQ_REL);
      ready_ = there > UINT32_MAX - ready_ ? UINT32_MAX : ready_ + there;
    }
    return ready_;
  }

  /// Leases the next chunk. `empty`: none is ready, or the window is full. After `broken`: fault() says why, and nothing else works any more.
  look next(frame& out) noexcept {
    if (ready_ == 0 || leased_ == window || broken_) [[unlikely]] {
      return broken_ ? look::broken : look::empty;
    }
    // SYNC chunk_ready: without it length and payload could be older than the magic that vouches for them.
    const std::uint32_t magic = __atomic_load_n(ring_.word(scan_ + 1), __ATOMIC_ACQUIRE);
    const std::uint32_t length = base::read_once_u32(ring_.word(scan_));
    if (magic != chunk_format::magic_ready) [[unlikely]] {
      return broken("chunk magic", magic, chunk_format::magic_ready);
    }
    // A ring never gets full to the last word, so what is leased and this chunk stay below W.
    if (length > ring_.bytes() || leased_words_ + chunk_format::words_of(length) >= ring_.words()) [[unlikely]] {
      return broken("chunk length", length, (ring_.words() - leased_words_ - chunk_format::words_ahead - 1) * 4);
    }
    const std::uint32_t step = chunk_format::words_of(length);
    out = {ring_.at(scan_ + chunk_format::words_ahead), length};
    scan_ = ring_.after(scan_, step);
    __builtin_prefetch(ring_.at(scan_));
    steps_[(first_ + leased_) % window] = step;
    leased_words_ += step;
    ++leased_;
    --ready_;
    return look::frame;
  }

  /// Gives the oldest leased chunks back. D9: see ring_reclaim.cpp.
  void reclaim(std::uint32_t oldest_chunks) noexcept;

  /// Since it was last asked the ring was so full that the service may have begun to queue: such a service looks at its queue again
  /// only every 50 ms unless a request comes. Asking clears it.
  [[nodiscard]] bool nearly_full_seen() noexcept {
    const bool seen = nearly_full_;
    nearly_full_ = false;
    return seen;
  }

  [[nodiscard]] error fault() const;

 private:
  look broken(const char* field, std::uint64_t value, std::uint64_t allowed) noexcept;
  void look_at_fill() noexcept;

  const shared_ring& ring_;
  std::uint32_t scan_ = 0;   // position of the next chunk to lease
  std::uint32_t read_ = 0;   // position of the oldest leased one
  std::uint32_t ready_ = 0;
  std::uint32_t leased_ = 0;
  std::uint32_t leased_words_ = 0;
  std::uint32_t first_ = 0;  // in steps_: the oldest leased
  std::array<std::uint32_t, window> steps_;
  bool nearly_full_ = false;
  bool broken_ = false;
  const char* fault_field_ = "";
  std::uint64_t fault_value_ = 0;
  std::uint64_t fault_allowed_ = 0;
};

}  // namespace cpgring::ipc
