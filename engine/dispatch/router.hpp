// Chooses the worker of a message, so that messages whose order must be kept go to the same worker.
#pragma once

#include <cstdint>

namespace cpgring::dispatch {

/// Spreads keys that differ in few bits (process ids, small numbers) over all workers. The same key always
/// gives the same worker.
inline std::uint32_t worker_of(std::uint64_t key, std::uint32_t workers) noexcept {
  key *= 0x9E3779B97F4A7C15U;
  key ^= key >> 32;
  return static_cast<std::uint32_t>((key & 0xffffffffU) * workers >> 32);
}

}  // namespace cpgring::dispatch
