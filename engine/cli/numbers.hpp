// Numbers of the command line: digits alone, within a range that is told in words.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include <CLI/CLI.hpp>

namespace cpgring::cli {

inline constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

/// A whole number, for transform(): no sign, no fraction, decimal also with zeros in front. Where `most` is no_limit the number still has
/// to fit the option, so say the type's largest value for narrower ones.
CLI::Validator whole_number(std::uint64_t least, std::uint64_t most = no_limit);
/// The same, and a unit may follow: k, m, g or t, also as kb or kib, of 1024.
CLI::Validator byte_count(std::uint64_t least, std::uint64_t most = no_limit);
/// A number that may have a fraction, in decimal.
CLI::Validator real_number(double least, double most);

/// "1 to 64", or "1 or more".
std::string range_text(std::uint64_t least, std::uint64_t most);
/// As range_text(), with units where they make it shorter: "64K to 32M".
std::string byte_range_text(std::uint64_t least, std::uint64_t most);

}  // namespace cpgring::cli
