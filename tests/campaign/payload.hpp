// The payload of a member of the campaign: sender, life, sequence and a checksum over all of it.
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

/// The smallest message that has room for a stamp.
inline constexpr std::size_t stamped_bytes_min = 40;

/// Fills all of `into`, which is at least stamped_bytes_min long.
void write_stamped(std::span<std::byte> into, const stamp& by);
/// Returns the stamp; or nothing, with the reason in `wrong`.
std::optional<stamp> read_stamped(std::span<const std::byte> from, std::string& wrong);
/// A checksum of any bytes.
std::uint64_t checksum(std::span<const std::byte> bytes) noexcept;

}  // namespace cpgring::campaign
