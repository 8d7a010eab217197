#include "ipc/ring_reader.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.hpp"
#include "base/hot.hpp"

namespace cpgring::ipc {

namespace cf = chunk_format;

namespace {

constexpr std::uint32_t fetch_distance = 16;  // chunks: a cache miss takes about as long as marking so many

}  // namespace

ring_reader::ring_reader(const shared_ring& ring, std::string_view name) noexcept
    : data_(ring.word(0)),
      semaphore_(ring.semaphore()),
      words_(ring.words()),
      largest_words_(ring.words() / 4),
      write_position_(ring.write_position()),
      read_position_(ring.read_position()),
      name_(name) {
  const std::uint32_t at = base::read_once_u32(read_position_);
  if (at >= words_) {
    refuse({"the read position", at, 0, words_ - 1});
  } else {
    scan_ = read_ = at;
  }
}

CPGRING_HOT std::uint32_t ring_reader::take(std::uint32_t there) noexcept {
  if (broken()) {
    return ready_;
  }
  if (const std::uint32_t room = words_ / cf::header_words - leased_ - ready_; there > room) {
    refuse({"the semaphore's count of new chunks", there, 0, room});
    return ready_;
  }
  // SYNC ring_semaphore: all chunks counted here were complete before they were counted. Only this reader
  // takes counts, so at least that many are still there.
  __atomic_fetch_sub(semaphore_, std::uint64_t{there}, __ATOMIC_ACQUIRE);
  ready_ += there;
  taken_ += there;
  // Read after the counts were taken, so it is not before the end of the last counted chunk.
  const std::uint32_t write = base::read_once_u32(write_position_);
  const std::uint32_t span = write < words_ ? cf::distance(scan_, write, words_) : 0;
  if (span < cf::header_words * ready_ || leased_words_ + span >= words_) {
    refuse({"the write position", write, (scan_ + cf::header_words * ready_) % words_,
            (read_ + words_ - 1) % words_});
    return ready_;
  }
  unread_words_ = span;
  return ready_;
}

read_result ring_reader::refuse_chunk(std::uint32_t magic, std::uint32_t length) noexcept {
  if (magic != cf::magic_ready) {
    refuse({"the magic of a chunk", magic, cf::magic_ready, cf::magic_ready});
  } else {
    refuse({"the length of a chunk", length, 0,
            unread_words_ < cf::header_words ? 0 : (unread_words_ - cf::header_words) * 4});
  }
  return read_result::broken;
}

void ring_reader::refuse(base::refusal what) noexcept {
  if (!broken()) {
    refused_ = what;
  }
  ready_ = 1;
  // No chunk is that short, so next() reaches refuse_chunk() from now on without a branch of its own.
  unread_words_ = 0;
}

error ring_reader::fault() const { return refused_.to_error(fmt::format("the service's {}:", name_)); }

// --- giving chunks back ---

// Lengths are zeroed and magics marked as consumed, then the read position is stored once for many chunks: it
// shares a cache line with the write position in libqb's header, so each store costs the service a cache
// miss.
//
// The lengths are in the ring, where the service can change them after they were checked. So they are checked
// again, against the sum of what was leased. A changed length breaks the reader; it can only damage the
// service's own ring.
CPGRING_HOT void ring_reader::reclaim(std::uint32_t oldest_chunks) noexcept {
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
    // The leased chunks after this one take at least this many words.
    const std::uint32_t behind = leased_ * cf::header_words;
    if (step + behind > leased_words_ || (leased_ == 0 && step != leased_words_)) {
      refuse({"the length of a chunk, changed while it was leased,", length, 0,
              (leased_words_ - behind - cf::header_words) * 4});
      return;
    }
    __atomic_store_n(at, 0U, __ATOMIC_RELAXED);
    __atomic_store_n(at + 1, cf::magic_consumed, __ATOMIC_RELAXED);
    // A chunk that was with a worker has left the near caches. The following chunks tend to be as long as
    // this one.
    const std::uint64_t ahead = read_ + std::uint64_t{fetch_distance} * step;
    if (i + fetch_distance < oldest_chunks && ahead < std::uint64_t{words_} * 2) {
      __builtin_prefetch(data_ + ahead, 1);
    }
    read_ += step;
    read_ = read_ >= words_ ? read_ - words_ : read_;
    leased_words_ -= step;
    largest_words_ = std::max(largest_words_, step);
  }
  // SYNC ring_space: all reads of these chunks, and their marks, come before the writer may reuse the space.
  // seq_cst: see below.
  __atomic_store_n(read_position_, read_, __ATOMIC_SEQ_CST);
  // SYNC ring_space: read after that store, so the last chunk of a service that found too little room before
  // it saw the store is included here.
  const std::uint32_t write_after = __atomic_load_n(write_position_, __ATOMIC_SEQ_CST);
  if (write_before >= words_ || write_after >= words_) {
    refuse({"the write position", std::max(write_before, write_after), 0, words_ - 1});
    return;
  }
  const std::uint32_t most_used =
      cf::distance(read_before, write_before, words_) + cf::distance(write_before, write_after, words_);
  nearly_full_ = nearly_full_ || most_used + largest_words_ + cf::header_words > words_;
}

}  // namespace cpgring::ipc
