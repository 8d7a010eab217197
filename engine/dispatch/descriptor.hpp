// Station D5 of 9: from cpg/codec, to dispatch/inline_worker.
//
// What is handed over for each message: where it lies, how long it is, who sent it. Never the message itself. A batch is filled by one
// decoding loop and then worked off, so that decoding stays in its own cache lines and hand-over costs one step for many messages.
// One thread at a time. Invariant: descriptors are in the order of the ring.
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
  std::uint32_t ring_bytes;  // what reclaiming its chunk gives back
};
static_assert(sizeof(descriptor) == 24);

class descriptor_batch {
 public:
  // 32 x 24 bytes are 12 cache lines: small enough to stay in the first-level cache beside the payloads' headers.
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
