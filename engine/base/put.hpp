// Writes a value to an unaligned address.
#pragma once

#include <cstddef>
#include <cstring>

namespace cpgring::base {

template <class T>
inline void put(std::byte* at, T value) noexcept {
  std::memcpy(at, &value, sizeof value);
}

}  // namespace cpgring::base
