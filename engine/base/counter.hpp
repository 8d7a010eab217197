// Counters with one writer and any number of readers. Plain stores; readers may see a slightly older value.
#pragma once

#include <atomic>
#include <cstdint>

namespace cpgring::base {

class counter {
 public:
  /// The writer's thread only. No read-modify-write is needed, because there is one writer.
  void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void raise(std::uint64_t n) noexcept {
    if (n > get()) {
      set(n);
    }
  }
  void set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace cpgring::base
