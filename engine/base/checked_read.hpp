// Reads memory that another process may change at any time: once, into a copy. Only the copy is used
// afterwards.
//
// The atomic load keeps the compiler from reading twice (once to check, once to use). Relaxed: the ring's
// semaphore provides the order.
#pragma once

#include <cstdint>
#include <cstring>

namespace cpgring::base {

inline std::uint32_t read_once_u32(const void* at) noexcept {
  return __atomic_load_n(static_cast<const std::uint32_t*>(at), __ATOMIC_RELAXED);
}

/// For fields that are only 4-byte aligned: two halves, each read once.
inline std::uint64_t read_once_u64(const void* at) noexcept {
  const auto* half = static_cast<const std::uint32_t*>(at);
  return std::uint64_t{read_once_u32(half)} | std::uint64_t{read_once_u32(half + 1)} << 32;
}

inline std::int32_t read_once_i32(const void* at) noexcept {
  return static_cast<std::int32_t>(read_once_u32(at));
}

}  // namespace cpgring::base
