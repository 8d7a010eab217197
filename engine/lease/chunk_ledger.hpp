// Station D9 of 9: from dispatch/deliver, to ipc/ring_reader.
//
// Records which chunks of one ring are in use.
//
// Chunks are claimed in the order of the ring, are done in any order (workers, leases), and are reclaimed
// oldest first. The ledger counts the oldest chunks that are done, and has a bit for each chunk that is done
// before an older one. One thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.hpp"
#include "base/hot.hpp"

namespace cpgring::leasing {

class chunk_ledger {
 public:
  /// Bytes after which done chunks are given back to a ring of this size. One store of the read position
  /// serves dozens of small messages, whose headers are still in the first-level cache when they are marked
  /// (measured: 27 ns for each message of 64 bytes at 8 KiB, 30 at 128 KiB). The service never waits for more
  /// room than that.
  static constexpr std::uint64_t due_bytes(std::uint32_t ring_bytes) noexcept {
    return std::min<std::uint32_t>(ring_bytes / 8, 8192);
  }

  /// Claims the next `count` chunks and returns the number of the first.
  std::uint64_t claim(std::uint32_t count = 1) noexcept { return std::exchange(claimed_, claimed_ + count); }
  /// Number of chunks claimed and not yet done.
  [[nodiscard]] std::uint64_t open() const noexcept { return claimed_ - done_in_all_; }
  /// Chunks [first, first + count) are done.
  CPGRING_HOT void done(std::uint64_t first, std::uint32_t count) {
    CPGRING_CHECK(first >= oldest_ && first + count <= claimed_);
    done_in_all_ += count;
    if (first != oldest_) {
      for (std::uint32_t i = 0; i < count; ++i) {
        mark(first + i);
      }
      return;
    }
    oldest_ += count;
    while (ahead_ != 0 && take_mark(oldest_)) {
      ++oldest_;
    }
  }
  /// Adds bytes of done chunks: a hint for when take() is worth its cost.
  void add_bytes(std::uint64_t bytes) noexcept { bytes_ += bytes; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  /// Number of the oldest chunks that can be reclaimed now. Each chunk is returned in one call only.
  std::uint32_t take() noexcept {
    bytes_ = 0;
    return static_cast<std::uint32_t>(oldest_ - std::exchange(taken_, oldest_));
  }

 private:
  static constexpr unsigned word_bits = 64;

  void mark(std::uint64_t chunk) {
    const std::uint64_t span = claimed_ - oldest_;
    if (span > bits_.size() * word_bits) {
      grow(span);
    }
    std::uint64_t& word = bits_[chunk / word_bits % bits_.size()];
    word |= std::uint64_t{1} << chunk % word_bits;
    ++ahead_;
  }
  bool take_mark(std::uint64_t chunk) noexcept {
    std::uint64_t& word = bits_[chunk / word_bits % bits_.size()];
    const std::uint64_t bit = std::uint64_t{1} << chunk % word_bits;
    if ((word & bit) == 0) {
      return false;
    }
    word &= ~bit;
    --ahead_;
    return true;
  }
  /// The number of words is a power of two, so that a chunk's number gives its bit; the ring's size bounds
  /// it.
  void grow(std::uint64_t span) {
    std::size_t words = bits_.empty() ? 4 : bits_.size();
    while (span + word_bits > words * word_bits) {
      words *= 2;
    }
    std::vector<std::uint64_t> larger(words);
    // Chunks claimed since then may lie beyond the old bits, whose places are used again.
    const std::uint64_t end = std::min(claimed_, oldest_ + bits_.size() * word_bits);
    for (std::uint64_t chunk = oldest_; ahead_ != 0 && chunk < end; ++chunk) {
      if ((bits_[chunk / word_bits % bits_.size()] >> chunk % word_bits & 1) != 0) {
        larger[chunk / word_bits % words] |= std::uint64_t{1} << chunk % word_bits;
      }
    }
    bits_ = std::move(larger);
  }

  std::uint64_t claimed_ = 0;
  std::uint64_t oldest_ = 0;       // all below are done
  std::uint64_t taken_ = 0;        // all below have been reclaimed
  std::uint64_t done_in_all_ = 0;  // all done chunks, below oldest_ and above
  std::uint64_t ahead_ = 0;        // number of bits set
  std::uint64_t bytes_ = 0;        // bytes of chunks done since the last take()
  std::vector<std::uint64_t> bits_;
};

}  // namespace cpgring::leasing
