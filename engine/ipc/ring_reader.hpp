// Station D5 of 9: from delivery/pump, to cpg/codec.
//
// Finds the chunks that the service wrote into a ring, and hands them out in place (leases them) until
// reclaim().
//
// One thread. Invariants:
// - I1 Only the semaphore says that a chunk is there. Magic and write position may be wrong (old payload,
//   chunks half written).
// - I2 Counts are taken before the read position moves; otherwise the writer would take an empty ring for a
//   full one.
// - I3 Length and magic are read once and checked against the space up to the write position. An invalid
//   value breaks the reader for good.
// - I4 Leased and unread chunks together are shorter than the ring, so whatever the service writes, nothing
//   outside of the double mapping is referred to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include <cpgring/error.hpp>

#include "base/checked_read.hpp"
#include "base/refusal.hpp"
#include "ipc/chunk_format.hpp"
#include "ipc/shared_ring.hpp"

namespace cpgring::ipc {

/// The payload of one chunk, in place: writable, contiguous, 4-byte aligned. Valid until it is reclaimed.
struct frame {
  std::byte* data = nullptr;
  std::uint32_t size = 0;
};

enum class read_result { frame, empty, broken };

class ring_reader {
 public:
  /// The mapping of `ring` outlives the reader. `name` is used in errors: "event ring".
  explicit ring_reader(const shared_ring& ring, std::string_view name = "event ring") noexcept;

  /// Counts on the semaphore that were not taken yet; 0: nothing new.
  [[nodiscard]] std::uint32_t waiting() const noexcept {
    // SYNC ring_semaphore: with the count, everything that the service wrote before its post is visible.
    return chunk_format::value_of(__atomic_load_n(semaphore_, __ATOMIC_ACQUIRE));
  }
  /// Chunks counted and not yet leased. After a fault always 1, so that the user of the ring calls next() and
  /// sees it.
  [[nodiscard]] std::uint32_t ready() const noexcept { return ready_; }
  /// Counts taken since the beginning.
  [[nodiscard]] std::uint64_t taken() const noexcept { return taken_; }
  /// Chunks leased and not yet reclaimed; limited only by the ring.
  [[nodiscard]] std::uint32_t leased() const noexcept { return leased_; }
  [[nodiscard]] std::uint32_t leased_bytes() const noexcept { return leased_words_ * 4; }
  [[nodiscard]] std::uint32_t capacity_bytes() const noexcept { return words_ * 4; }
  /// Bytes of the ring in use by chunks, unread ones included; capacity_bytes() if the write position is
  /// invalid.
  [[nodiscard]] std::uint32_t used_bytes() const noexcept {
    const std::uint32_t write = base::read_once_u32(write_position_);
    return (write < words_ ? chunk_format::distance(read_, write, words_) : words_) * 4;
  }
  /// The word for a futex wait.
  [[nodiscard]] std::uint64_t* semaphore_word() const noexcept { return semaphore_; }

  /// Takes all counts at once and returns ready(). An invalid count shows at the following next().
  std::uint32_t collect() noexcept {
    const std::uint32_t there = waiting();
    return there == 0 ? ready_ : take(there);
  }

  /// Leases the next chunk. `empty`: ready() is 0. `broken`: for good; fault() gives the reason.
  read_result next(frame& out) noexcept {
    if (ready_ == 0) [[unlikely]] {
      return read_result::empty;
    }
    std::uint32_t* const at = word(scan_);
    // SYNC chunk_ready: otherwise length and payload could be older than the magic that confirms them.
    const std::uint32_t magic = __atomic_load_n(at + 1, __ATOMIC_ACQUIRE);
    const std::uint32_t length = base::read_once_u32(at);
    const std::uint32_t step = chunk_format::words_of(length);
    if (magic != chunk_format::magic_ready || step > unread_words_) [[unlikely]] {
      return refuse_chunk(magic, length);
    }
    out = {reinterpret_cast<std::byte*>(at + chunk_format::header_words), length};
    const std::uint32_t next = scan_ + step;
    scan_ = next >= words_ ? next - words_ : next;
    unread_words_ -= step;
    leased_words_ += step;
    ++leased_;
    --ready_;
    fetch_ahead(step);
    return read_result::frame;
  }

  /// Gives the oldest leased chunks back, 0 .. leased(). Does nothing after a fault.
  void reclaim(std::uint32_t oldest_chunks) noexcept;

  /// True if, since the last call, there was a moment at which an event might not have fitted; the call
  /// resets it. A service that finds a full ring queues the event, and an idle one retries only every 50 ms
  /// unless a request comes. So after draining the ring send it a request (a poke). Exact for events of up to
  /// a quarter of the ring, and for events no larger than earlier ones; the first larger event may be delayed
  /// by 50 ms once.
  [[nodiscard]] bool take_nearly_full() noexcept { return std::exchange(nearly_full_, false); }

  [[nodiscard]] bool broken() const noexcept { return static_cast<bool>(refused_); }
  /// Names the field. Only after read_result::broken.
  [[nodiscard]] error fault() const;

 private:
  [[nodiscard]] std::uint32_t* word(std::uint32_t position) const noexcept { return data_ + position; }
  /// Prefetches the cache lines of a chunk a few ahead, because events tend to be as long as the one before.
  /// The line of its header is fetched for writing, because reclaiming writes there.
  void fetch_ahead(std::uint32_t step) const noexcept {
    // In words: `fields` is where an event has its length, `payload` where its payload begins.
    constexpr std::uint32_t distance = 8, fields = 40, payload = 48;
    const std::uint64_t at = std::uint64_t{scan_} + std::uint64_t{distance - 1} * step;
    if (at + payload < std::uint64_t{words_} * 2) {
      __builtin_prefetch(data_ + at, 1);
      __builtin_prefetch(data_ + at + fields);
      __builtin_prefetch(data_ + at + payload);
    }
  }
  std::uint32_t take(std::uint32_t there) noexcept;
  read_result refuse_chunk(std::uint32_t magic, std::uint32_t length) noexcept;
  void refuse(base::refusal what) noexcept;

  // Everything that next() touches, in one cache line.
  std::uint32_t* data_;
  std::uint64_t* semaphore_;
  std::uint32_t words_;
  std::uint32_t scan_ = 0;          // position of the next chunk to lease
  std::uint32_t ready_ = 0;         // counts taken from the semaphore, chunks not yet leased
  std::uint32_t unread_words_ = 0;  // from scan_ to the write position, as of the last take()
  std::uint32_t leased_ = 0;
  std::uint32_t leased_words_ = 0;  // from read_ to scan_

  std::uint32_t read_ = 0;           // position of the oldest leased chunk, which the service sees
  std::uint32_t largest_words_ = 0;  // the largest chunk so far, at least a quarter of the ring
  std::uint32_t* write_position_;
  std::uint32_t* read_position_;
  bool nearly_full_ = false;
  std::uint64_t taken_ = 0;
  base::refusal refused_;
  std::string_view name_;
};

}  // namespace cpgring::ipc
