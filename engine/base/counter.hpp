// Counters with one writer and any readers: plain stores that other threads may read a little late.
#pragma once

#include <atomic>
#include <cstdint>

namespace cpgring::base {

class counter {
 public:
  /// The one writer's thread. No read-modify-write: nobody else writes.
  void add(std::uint64_t n = 1) noexcept { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace cpgring::base
