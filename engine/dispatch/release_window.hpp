// Which of a handle's leased chunks are done: a count of the oldest, and a bit for each that is done ahead of its turn.
//
// Chunks go back to the ring oldest first; with several workers they are done in any order. The reactor's thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.hpp"

namespace cpgring::dispatch {

class release_window {
 public:
  /// The next chunk is leased; its number.
  std::uint64_t lease() noexcept { return leased_++; }
  /// Leased and not yet done.
  [[nodiscard]] std::uint64_t open() const noexcept { return leased_ - done_in_all_; }
  /// Chunks first .. first + count are done.
  void done(std::uint64_t first, std::uint32_t count) {
    CPGRING_CHECK(first >= oldest_ && first + count <= leased_);
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
  /// How many of the oldest can be reclaimed now; each is told of once.
  std::uint32_t take() noexcept { return static_cast<std::uint32_t>(oldest_ - std::exchange(taken_, oldest_)); }

 private:
  static constexpr unsigned word_bits = 64;

  void mark(std::uint64_t chunk) {
    const std::uint64_t span = leased_ - oldest_;
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
  /// A power of two of words, so that a chunk's place is found by its number; the ring's size bounds it.
  void grow(std::uint64_t span) {
    std::size_t words = bits_.empty() ? 4 : bits_.size();
    while (span + word_bits > words * word_bits) {
      words *= 2;
    }
    std::vector<std::uint64_t> larger(words);
    // What was leased since may lie beyond the old bits, where their places begin again.
    const std::uint64_t end = std::min(leased_, oldest_ + bits_.size() * word_bits);
    for (std::uint64_t chunk = oldest_; ahead_ != 0 && chunk < end; ++chunk) {
      if ((bits_[chunk / word_bits % bits_.size()] >> chunk % word_bits & 1) != 0) {
        larger[chunk / word_bits % words] |= std::uint64_t{1} << chunk % word_bits;
      }
    }
    bits_ = std::move(larger);
  }

  std::uint64_t leased_ = 0;
  std::uint64_t oldest_ = 0;       // all below are done
  std::uint64_t taken_ = 0;        // all below have been reclaimed
  std::uint64_t done_in_all_ = 0;  // as many as there are, below oldest_ and ahead of it
  std::uint64_t ahead_ = 0;        // bits set
  std::vector<std::uint64_t> bits_;
};

}  // namespace cpgring::dispatch
