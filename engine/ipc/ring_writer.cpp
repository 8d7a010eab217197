#include "ipc/ring_writer.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

#include <fmt/format.h>

#include "base/check.hpp"
#include "base/checked_read.hpp"

namespace cpgring::ipc {

namespace cf = chunk_format;

ring_writer::ring_writer(const shared_ring& ring) noexcept : ring_(ring) {
  const std::uint32_t at = base::read_once_u32(ring.write_position());
  broken_ = at >= ring.words();
  fault_value_ = at;
  position_ = broken_ ? 0 : at;
}

error ring_writer::fault() const {
  return {errc::malformed, fmt::format("a position of the request ring is {:#x}, at most {:#x} is allowed; this connection ended", fault_value_,
                                       ring_.words() - 1)};
}

std::uint32_t ring_writer::free_bytes() noexcept {
  // SYNC ring_space: room that the reader gave back is written to only after it has read it.
  const std::uint32_t read = __atomic_load_n(ring_.read_position(), __ATOMIC_ACQUIRE);
  if (read >= ring_.words()) {
    broken_ = true;
    fault_value_ = read;
    return 0;
  }
  if (position_ > read) {
    return (read + ring_.words() - position_ - 1) * 4;
  }
  if (position_ < read) {
    return (read - position_ - 1) * 4;
  }
  // Equal: empty, unless chunks are counted that the reader has passed already (then wait), or all of the ring is staged.
  return staged_ != 0 || outstanding() != 0 ? 0 : ring_.bytes();
}

std::byte* ring_writer::reserve(std::uint32_t bytes) noexcept {
  CPGRING_CHECK(!has_reservation_);
  if (broken_ || staged_ == staged_max || bytes > ring_.bytes() || free_bytes() < bytes + cf::spare_bytes) {
    return nullptr;
  }
  has_reservation_ = true;
  reserved_ = bytes;
  __atomic_store_n(ring_.word(position_), 0U, __ATOMIC_RELAXED);
  // SYNC chunk_dead: the length is 0 before the magic says that it is being written.
  __atomic_store_n(ring_.word(position_ + 1), cf::magic_being_written, __ATOMIC_RELEASE);
  return ring_.at(position_ + cf::words_ahead);
}

void ring_writer::stage(std::uint32_t bytes) noexcept {
  CPGRING_CHECK(has_reservation_ && bytes <= reserved_);
  has_reservation_ = false;
  __atomic_store_n(ring_.word(position_), bytes, __ATOMIC_RELAXED);
  starts_[staged_++] = position_;
  position_ = ring_.after(position_, cf::words_of(bytes));
}

std::uint32_t ring_writer::publish() noexcept {
  const std::uint32_t count = staged_;
  if (count == 0) {
    return 0;
  }
  // A reservation that is open stands behind what is staged and stays invisible.
  // SYNC ring_written: libqb moves the write position before it marks the chunk ready; so do we.
  __atomic_store_n(ring_.write_position(), position_, __ATOMIC_RELEASE);
  for (std::uint32_t i = 0; i < count; ++i) {
    // SYNC chunk_ready: payload and length come before the magic that vouches for them.
    __atomic_store_n(ring_.word(starts_[i] + 1), cf::magic_ready, __ATOMIC_RELEASE);
  }
  staged_ = 0;
  // SYNC request_semaphore: the chunks are complete before they are counted.
  const std::uint64_t before = __atomic_fetch_add(ring_.semaphore(), std::uint64_t{count}, __ATOMIC_ACQ_REL);
  if (cf::waiters_of(before) != 0) {
    ::syscall(SYS_futex, ring_.semaphore(), FUTEX_WAKE, static_cast<int>(count), nullptr, nullptr, 0);
  }
  return count;
}

}  // namespace cpgring::ipc
