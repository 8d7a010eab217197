// The description of one message that is handed over: its address, length and sender, not its bytes.
//
// One decoding loop fills a batch, and then the batch is processed. So decoding stays in its own cache lines,
// and the hand-over costs one step for many messages. One thread at a time. Invariant: descriptors are in the
// order of the ring.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace cpgring::dispatch {

struct descriptor {
  std::byte* data;
  std::uint32_t size;
  std::uint32_t node;
  std::uint32_t pid;
  std::uint32_t ring_bytes;  // bytes that reclaiming its chunk frees
};
static_assert(sizeof(descriptor) == 24);

class descriptor_batch {
 public:
  // 32 x 24 bytes are 12 cache lines: small enough to stay in the first-level cache beside the headers of the
  // payloads.
  static constexpr std::uint32_t capacity = 32;

  [[nodiscard]] bool full() const noexcept { return size_ == capacity; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  void push(const descriptor& one) noexcept { items_[size_++] = one; }
  void clear() noexcept { size_ = 0; }
  [[nodiscard]] const descriptor* begin() const noexcept { return items_.data(); }
  [[nodiscard]] const descriptor* end() const noexcept { return items_.data() + size_; }

 private:
  std::array<descriptor, capacity> items_;
  std::uint32_t size_ = 0;
};

}  // namespace cpgring::dispatch
