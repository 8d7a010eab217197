// Makes group names that no other process uses, neither on this node nor with the same pid on another node.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace cpgring::cli {

/// "STEM-PID-" and 16 hexadecimal digits, different on each call. Throws std::exception if the system has no
/// random numbers.
inline std::string unique_name(std::string_view stem) {
  std::random_device random;
  return fmt::format("{}-{}-{:08x}{:08x}", stem, ::getpid(), static_cast<std::uint32_t>(random()),
                     static_cast<std::uint32_t>(random()));
}

}  // namespace cpgring::cli
