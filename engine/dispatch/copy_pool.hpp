// Buffers for messages that leave the ring: sizes in powers of two, kept for the next one. The reactor's thread; a buffer may come from
// anywhere (new_copy) and be freed anywhere (delete_copy).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <new>
#include <vector>

namespace cpgring::dispatch {

/// What a buffer for `size` bytes really has.
constexpr std::size_t copy_capacity(std::size_t size) noexcept { return std::bit_ceil(std::max<std::size_t>(size, 64)); }
inline std::byte* new_copy(std::size_t size) { return static_cast<std::byte*>(::operator new(copy_capacity(size))); }
inline void delete_copy(std::byte* at) noexcept { ::operator delete(at); }

class copy_pool {
 public:
  /// Keeps at most so much, and no buffer above `one_max`: a few of the largest would be all that is kept.
  copy_pool(std::size_t kept_max, std::size_t one_max) noexcept : kept_max_(kept_max), one_max_(one_max) {}
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
  /// `size`: as it was taken.
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
  static std::size_t index(std::size_t size) noexcept { return static_cast<std::size_t>(std::countr_zero(copy_capacity(size))); }

  const std::size_t kept_max_, one_max_;
  std::size_t kept_bytes_ = 0;
  std::array<std::vector<std::byte*>, 64> kept_;
};

}  // namespace cpgring::dispatch
