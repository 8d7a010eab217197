// Station D8 of 9: from dispatch/deliver, to ipc/ring_reclaim.
//
// Counts the chunks that callbacks have finished with. Inline work finishes them in ring order, so a count is enough; they go back to the
// ring in batches, because each store of the read index takes the line from the service that writes beside it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace cpgring::dispatch {

class release_count {
 public:
  // So much that one store serves dozens of small messages, so little that their headers are still in the first-level cache when they are
  // marked (measured: 27 ns for each message of 64 bytes at 8 KiB, 30 at 128 KiB). The service never waits for more room than that.
  static constexpr std::uint32_t due_bytes_max = 8192;
  explicit release_count(std::uint32_t ring_bytes) noexcept : due_bytes_(std::min(ring_bytes / 8, due_bytes_max)) {}

  void add(std::uint32_t ring_bytes) noexcept {
    ++chunks_;
    bytes_ += ring_bytes;
  }
  [[nodiscard]] bool due() const noexcept { return bytes_ >= due_bytes_; }
  [[nodiscard]] std::uint32_t chunks() const noexcept { return chunks_; }
  /// The chunks to reclaim now; counting starts again.
  std::uint32_t take() noexcept {
    bytes_ = 0;
    return std::exchange(chunks_, 0);
  }

 private:
  std::uint32_t due_bytes_;
  std::uint32_t bytes_ = 0;
  std::uint32_t chunks_ = 0;
};

}  // namespace cpgring::dispatch
