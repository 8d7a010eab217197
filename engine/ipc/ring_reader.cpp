#include "ipc/ring_reader.hpp"

#include <fmt/format.h>

namespace cpgring::ipc {

namespace cf = chunk_format;

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

std::uint32_t ring_reader::take(std::uint32_t there) noexcept {
  if (broken()) {
    return ready_;
  }
  if (const std::uint32_t room = words_ / cf::words_ahead - leased_ - ready_; there > room) {
    refuse({"the semaphore's count of new chunks", there, 0, room});
    return ready_;
  }
  // SYNC ring_semaphore: all chunks counted here were complete before they were counted. Only we take counts, so that many are still there.
  __atomic_fetch_sub(semaphore_, std::uint64_t{there}, __ATOMIC_ACQUIRE);
  ready_ += there;
  taken_ += there;
  // Read behind the counts, so it is at least where the last of the counted chunks ends.
  const std::uint32_t write = base::read_once_u32(write_position_);
  const std::uint32_t span = write < words_ ? cf::distance(scan_, write, words_) : 0;
  if (span < cf::words_ahead * ready_ || leased_words_ + span >= words_) {
    refuse({"the write position", write, (scan_ + cf::words_ahead * ready_) % words_, (read_ + words_ - 1) % words_});
    return ready_;
  }
  unread_words_ = span;
  return ready_;
}

look ring_reader::refuse_chunk(std::uint32_t magic, std::uint32_t length) noexcept {
  if (magic != cf::magic_ready) {
    refuse({"the magic of a chunk", magic, cf::magic_ready, cf::magic_ready});
  } else {
    refuse({"the length of a chunk", length, 0, unread_words_ < cf::words_ahead ? 0 : (unread_words_ - cf::words_ahead) * 4});
  }
  return look::broken;
}

void ring_reader::refuse(base::refusal what) noexcept {
  if (!broken()) {
    refused_ = what;
  }
  ready_ = 1;
  unread_words_ = 0;  // no chunk is that short: next() comes to refuse_chunk() from now on, without a branch of its own
}

error ring_reader::fault() const { return refused_.to_error(fmt::format("the service's {}", name_)); }

}  // namespace cpgring::ipc
