// What a member of the campaign multicasts: who sent it, as which message of which life, and a checksum over all of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "checker/history.hpp"

namespace cpgring::campaign {

struct stamp {
  checker::message_id id;
  checker::address sender;
};

/// A message carries its stamp only if it has this room.
inline constexpr std::size_t stamped_bytes_min = 40;

/// Fills all of `into`, which is at least stamped_bytes_min long.
void write_stamped(std::span<std::byte> into, const stamp& by);
/// The stamp; or nothing, and in `wrong` what is.
std::optional<stamp> read_stamped(std::span<const std::byte> from, std::string& wrong);
/// Over any bytes.
std::uint64_t checksum(std::span<const std::byte> bytes) noexcept;

}  // namespace cpgring::campaign
