// Station D9 of 9: from dispatch/release_count, to the service.
//
// Gives chunks back to the writer, oldest first, many at a time: lengths zeroed, magics dead, then the read position once. The read position shares
// a cache line with the write position in libqb's header, which we cannot change: each store of it costs the service a miss, hence the batches.
#include "base/check.hpp"
#include "ipc/ring_reader.hpp"

namespace cpgring::ipc {

void ring_reader::reclaim(std::uint32_t oldest_chunks) noexcept {
  CPGRING_CHECK(oldest_chunks <= leased_);
  if (oldest_chunks == 0) {
    return;
  }
  look_at_fill();
  for (std::uint32_t i = 0; i < oldest_chunks; ++i) {
    const std::uint32_t step = steps_[first_];
    first_ = (first_ + 1) % window;
    __atomic_store_n(ring_.word(read_), 0U, __ATOMIC_RELAXED);
    // SYNC chunk_dead: the length is 0 before the magic says consumed, as libqb's own reader leaves a chunk.
    __atomic_store_n(ring_.word(read_ + 1), chunk_format::magic_consumed, __ATOMIC_RELEASE);
    read_ = ring_.after(read_, step);
    leased_words_ -= step;
  }
  leased_ -= oldest_chunks;
  // SYNC ring_space: everything read from these chunks, and their marks, come before the writer may use the room again.
  __atomic_store_n(ring_.read_position(), read_, __ATOMIC_RELEASE);
}

/// The service begins to queue when an event does not fit. What it found in the way is unread words; less than a quarter of the ring free is taken as
/// a sign, because events above that size are rare and a poke too many costs one request in a ring's length of events.
void ring_reader::look_at_fill() noexcept {
  // SYNC ring_written: a hint only; nothing is read by it.
  const std::uint32_t write = __atomic_load_n(ring_.write_position(), __ATOMIC_ACQUIRE);
  if (write < ring_.words()) {
    const std::uint32_t used = write >= read_ ? write - read_ : write + ring_.words() - read_;
    nearly_full_ = nearly_full_ || used > ring_.words() / 4 * 3;
  }
}

}  // namespace cpgring::ipc
