#include "ipc/ring_writer.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/check.hpp"
#include "base/checked_read.hpp"
#include "base/hot.hpp"

namespace cpgring::ipc {

namespace cf = chunk_format;

ring_writer::ring_writer(const shared_ring& ring, std::string_view name) noexcept
    : data_(ring.word(0)),
      semaphore_(ring.semaphore()),
      write_position_(ring.write_position()),
      read_position_(ring.read_position()),
      words_(ring.words()),
      name_(name) {
  const std::uint32_t write = base::read_once_u32(write_position_);
  const std::uint32_t read = base::read_once_u32(read_position_);
  if (write >= words_ || read >= words_) {
    refuse({write >= words_ ? "the write position" : "the read position", write >= words_ ? write : read, 0,
            words_ - 1});
    return;
  }
  published_ = position_ = write;
  last_read_ = read;
  outstanding_max_ = cf::distance(read, write, words_) / cf::header_words;
}

void ring_writer::refuse(base::refusal what) noexcept {
  if (!broken()) {
    refused_ = what;
  }
}

error ring_writer::fault() const { return refused_.to_error(fmt::format("the service's {}:", name_)); }

CPGRING_HOT std::uint32_t ring_writer::outstanding() noexcept {
  // SYNC ring_semaphore: no data is read after it; acquire keeps it ordered with the read position, which is
  // read next.
  const std::uint32_t value = cf::value_of(__atomic_load_n(semaphore_, __ATOMIC_ACQUIRE));
  if (value > outstanding_max_) {
    refuse({"the semaphore's count of open requests", value, 0, outstanding_max_});
    return value;
  }
  return outstanding_max_ = value;
}

/// Counts as libqb does: one word less than is free, so that a full ring and an empty one differ.
CPGRING_HOT std::uint32_t ring_writer::free_words() noexcept {
  if (broken()) {
    return 0;
  }
  // SYNC ring_space: the service has read everything in the space that it gave back before it is written
  // again.
  const std::uint32_t read = __atomic_load_n(read_position_, __ATOMIC_ACQUIRE);
  if (read >= words_ ||
      cf::distance(last_read_, read, words_) > cf::distance(last_read_, published_, words_)) {
    refuse({"the read position", read, last_read_, published_});
    return 0;
  }
  last_read_ = read;
  if (position_ != read) {
    return cf::distance(position_, read, words_) - 1;
  }
  // Empty, unless the semaphore still counts requests that the service's read position has passed. The
  // service is then between two steps, and the ring counts as full.
  return outstanding() == 0 ? words_ : 0;
}

CPGRING_HOT std::byte* ring_writer::reserve(std::uint32_t bytes) noexcept {
  CPGRING_CHECK(!has_reservation_ && bytes <= bytes_max());
  if (staged_ == staged_max) {
    return nullptr;
  }
  if (!fits(bytes)) {
    wanted_ = bytes + 1;
    return nullptr;
  }
  wanted_ = 0;
  has_reservation_ = true;
  reserved_ = bytes;
  std::uint32_t* const at = word(position_);
  __atomic_store_n(at, 0U, __ATOMIC_RELAXED);
  __atomic_store_n(at + 1, cf::magic_being_written, __ATOMIC_RELAXED);
  return reinterpret_cast<std::byte*>(at + cf::header_words);
}

CPGRING_HOT void ring_writer::stage(std::uint32_t bytes) noexcept {
  CPGRING_CHECK(has_reservation_ && bytes <= reserved_);
  has_reservation_ = false;
  __atomic_store_n(word(position_), bytes, __ATOMIC_RELAXED);
  starts_[staged_++] = position_;
  const std::uint32_t next = position_ + cf::words_of(bytes);
  position_ = next >= words_ ? next - words_ : next;
}

CPGRING_HOT std::uint32_t ring_writer::publish() noexcept {
  const std::uint32_t count = staged_;
  if (count == 0) {
    return 0;
  }
  // As in libqb, the write position moves before the chunk is marked ready. Only the semaphore says that a
  // chunk is there.
  __atomic_store_n(write_position_, position_, __ATOMIC_RELAXED);
  published_ = position_;
  for (std::uint32_t i = 0; i < count; ++i) {
    // SYNC chunk_ready: payload and length come before the magic that confirms them.
    __atomic_store_n(word(starts_[i] + 1), cf::magic_ready, __ATOMIC_RELEASE);
  }
  staged_ = 0;
  outstanding_max_ += count;
  // SYNC ring_semaphore: the chunks are complete before they are counted.
  const std::uint64_t before = __atomic_fetch_add(semaphore_, std::uint64_t{count}, __ATOMIC_RELEASE);
  if (cf::waiters_of(before) != 0) [[unlikely]] {  // stock services sleep on the socket, not here
    ::syscall(SYS_futex, semaphore_, FUTEX_WAKE, static_cast<int>(count), nullptr, nullptr, 0);
  }
  return count;
}

}  // namespace cpgring::ipc
