// Station D9 of 9: from dispatch/release_count, to the service.
//
// Gives chunks back to the writer, oldest first, many at a time: lengths zeroed, magics dead, then the read position once. The read
// position shares a cache line with the write position in libqb's header, which we cannot change: each store of it costs the service a
// miss, hence the batches.
//
// The lengths stand in the ring, where the service can change them after they were checked. So they are checked again, against the sum of
// what was leased: a changed one breaks the reader, and all it can ever damage is the service's own ring.
#include <algorithm>

#include "base/check.hpp"
#include "ipc/ring_reader.hpp"

namespace cpgring::ipc {

namespace cf = chunk_format;

namespace {

constexpr std::uint32_t fetch_distance = 16;  // chunks: a miss takes as long as marking about so many

}  // namespace

void ring_reader::reclaim(std::uint32_t oldest_chunks) noexcept {
  CPGRING_CHECK(oldest_chunks <= leased_);
  if (oldest_chunks == 0 || broken()) {
    return;
  }
  const std::uint32_t write_before = base::read_once_u32(write_position_);
  const std::uint32_t read_before = read_;
  for (std::uint32_t i = 0; i < oldest_chunks; ++i) {
    std::uint32_t* const at = word(read_);
    const std::uint32_t length = base::read_once_u32(at);
    const std::uint32_t step = cf::words_of(length);
    --leased_;
    const std::uint32_t behind = leased_ * cf::words_ahead;  // at least so much belongs to the leased chunks behind it
    if (step + behind > leased_words_ || (leased_ == 0 && step != leased_words_)) {
      refuse({"the length of a chunk, changed while it was leased,", length, 0, (leased_words_ - behind - cf::words_ahead) * 4});
      return;
    }
    __atomic_store_n(at, 0U, __ATOMIC_RELAXED);
    __atomic_store_n(at + 1, cf::magic_consumed, __ATOMIC_RELAXED);
    // A chunk that was with a worker meanwhile has left the near caches; the next ones tend to be as long as this one.
    const std::uint64_t ahead = read_ + std::uint64_t{fetch_distance} * step;
    if (i + fetch_distance < oldest_chunks && ahead < std::uint64_t{words_} * 2) {
      __builtin_prefetch(data_ + ahead, 1);
    }
    read_ += step;
    read_ = read_ >= words_ ? read_ - words_ : read_;
    leased_words_ -= step;
    largest_words_ = std::max(largest_words_, step);
  }
  // SYNC ring_space: all reading of these chunks, and their marks, come before the writer may use the room again. Full order: see below.
  __atomic_store_n(read_position_, read_, __ATOMIC_SEQ_CST);
  // SYNC ring_space: read behind that store, so a service that found too little room before it saw the store has its last chunk in here.
  const std::uint32_t write_after = __atomic_load_n(write_position_, __ATOMIC_SEQ_CST);
  if (write_before >= words_ || write_after >= words_) {
    refuse({"the write position", std::max(write_before, write_after), 0, words_ - 1});
    return;
  }
  const std::uint32_t most_used = cf::distance(read_before, write_before, words_) + cf::distance(write_before, write_after, words_);
  nearly_full_ = nearly_full_ || most_used + largest_words_ + cf::words_ahead > words_;
}

}  // namespace cpgring::ipc
