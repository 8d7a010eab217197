// Validators for numbers on the command line. Their error texts state the allowed range.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include <CLI/CLI.hpp>

namespace cpgring::cli {

inline constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

/// A whole number, for transform(): no sign, no fraction, decimal even with leading zeros. If `most` is
/// no_limit the number must still fit the option's type; for a narrower type, pass its largest value.
CLI::Validator whole_number(std::uint64_t least, std::uint64_t most = no_limit);
/// Like whole_number(), with an optional unit of 1024: k, m, g or t, also written as kb or kib.
CLI::Validator byte_count(std::uint64_t least, std::uint64_t most = no_limit);
/// A decimal number, which may have a fraction.
CLI::Validator real_number(double least, double most);

/// Such as "1 to 64" or "1 or more".
std::string range_text(std::uint64_t least, std::uint64_t most);
/// Like range_text(), with units where they are shorter: "64K to 32M".
std::string byte_range_text(std::uint64_t least, std::uint64_t most);

}  // namespace cpgring::cli
