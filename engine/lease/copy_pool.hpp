// Buffers for messages that are copied out of the ring: sizes are powers of two, and free buffers are kept.
// The pool is for the reactor's thread; buffers may be made (new_copy) and freed (delete_copy) by any thread.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <new>
#include <vector>

namespace cpgring::leasing {

/// The real size of a buffer for `size` bytes.
constexpr std::size_t copy_capacity(std::size_t size) noexcept {
  return std::bit_ceil(std::max<std::size_t>(size, 64));
}
inline std::byte* new_copy(std::size_t size) {
  return static_cast<std::byte*>(::operator new(copy_capacity(size)));
}
inline void delete_copy(std::byte* at) noexcept { ::operator delete(at); }

class copy_pool {
 public:
  /// Keeps at most `kept_max` bytes, and no buffer above `largest_kept`: otherwise a few of the largest would
  /// fill the pool.
  copy_pool(std::size_t kept_max, std::size_t largest_kept) noexcept
      : kept_max_(kept_max), one_max_(largest_kept) {}
  ~copy_pool() {
    for (auto& kept : kept_) {
      std::for_each(kept.begin(), kept.end(), delete_copy);
    }
  }
  copy_pool(const copy_pool&) = delete;
  copy_pool& operator=(const copy_pool&) = delete;

  std::byte* take(std::size_t size) {
    auto& kept = kept_[index(size)];
    if (kept.empty()) {
      return new_copy(size);
    }
    std::byte* const one = kept.back();
    kept.pop_back();
    kept_bytes_ -= copy_capacity(size);
    return one;
  }
  /// `size`: the size that was passed to take().
  void give(std::byte* one, std::size_t size) {
    const std::size_t capacity = copy_capacity(size);
    if (capacity > one_max_ || kept_bytes_ + capacity > kept_max_) {
      delete_copy(one);
      return;
    }
    kept_[index(size)].push_back(one);
    kept_bytes_ += capacity;
  }
  [[nodiscard]] std::size_t kept_bytes() const noexcept { return kept_bytes_; }

 private:
  static std::size_t index(std::size_t size) noexcept {
    return static_cast<std::size_t>(std::countr_zero(copy_capacity(size)));
  }

  const std::size_t kept_max_, one_max_;
  std::size_t kept_bytes_ = 0;
  std::array<std::vector<std::byte*>, 64> kept_;
};

}  // namespace cpgring::leasing
