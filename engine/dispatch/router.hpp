// Which worker a message goes to, so that what has to stay in order stays on one.
#pragma once

#include <cstdint>

namespace cpgring::dispatch {

/// Spreads keys that differ in few bits (process ids, small numbers) over all workers; the same key always comes to the same.
inline std::uint32_t worker_of(std::uint64_t key, std::uint32_t workers) noexcept {
  key *= 0x9E3779B97F4A7C15U;
  key ^= key >> 32;
  return static_cast<std::uint32_t>((key & 0xffffffffU) * workers >> 32);
}

}  // namespace cpgring::dispatch
