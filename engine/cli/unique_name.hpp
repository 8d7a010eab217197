// Names of groups that nobody else has: not another process of this node, nor one with the same pid on another.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace cpgring::cli {

/// "STEM-PID-16 hexadecimal digits": another one each time. Throws std::exception where the system has no random numbers.
inline std::string unique_name(std::string_view stem) {
  std::random_device random;
  return fmt::format("{}-{}-{:08x}{:08x}", stem, ::getpid(), static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random()));
}

}  // namespace cpgring::cli
