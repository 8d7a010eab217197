#include "cli/numbers.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "cli/text.hpp"

namespace cpgring::cli {
namespace {

std::optional<std::uint64_t> digits_in(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

constexpr std::array<std::pair<char, int>, 4> units{{{'t', 40}, {'g', 30}, {'m', 20}, {'k', 10}}};

/// The power of two that a unit stands for; no unit: 0.
std::optional<int> shift_of(std::string_view unit) {
  std::string lower(unit);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower.empty() || lower == "b") {
    return 0;
  }
  for (const auto& [letter, shift] : units) {
    if (lower[0] == letter && (lower.size() == 1 || lower.substr(1) == "b" || lower.substr(1) == "ib")) {
      return shift;
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> bytes_in(std::string_view text) {
  const auto unit = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto value = digits_in(text.substr(0, unit));
  const auto shift = shift_of(text.substr(unit));
  if (!value || !shift || *value > (no_limit >> *shift)) {
    return std::nullopt;
  }
  return *value << *shift;
}

std::string bytes_text(std::uint64_t bytes) {
  for (const auto& [letter, shift] : units) {
    if (bytes != 0 && bytes % (std::uint64_t{1} << shift) == 0) {
      return fmt::format("{}{}", bytes >> shift, static_cast<char>(std::toupper(letter)));
    }
  }
  return fmt::format("{}", bytes);
}

std::string refusal_text(const std::string& input, std::string_view kind, const std::string& range) {
  constexpr std::size_t shown_max = 40;
  return fmt::format("'{}{}' is not allowed, it must be {}, {}", printable(input.substr(0, shown_max)),
                     input.size() > shown_max ? "..." : "", kind, range);
}

template <class Parse>
CLI::Validator number(std::string range, std::string_view kind, std::uint64_t least, std::uint64_t most,
                      Parse parse) {
  return CLI::Validator(
      [range, kind, least, most, parse](std::string& input) {
        const auto value = parse(input);
        if (!value || *value < least || *value > most) {
          return refusal_text(input, kind, range);
        }
        input = fmt::format("{}", *value);  // CLI11 would read a number with a leading zero as octal
        return std::string();
      },
      range);
}

}  // namespace

std::string range_text(std::uint64_t least, std::uint64_t most) {
  return most == no_limit ? fmt::format("{} or more", least) : fmt::format("{} to {}", least, most);
}

std::string byte_range_text(std::uint64_t least, std::uint64_t most) {
  return most == no_limit ? fmt::format("{} or more", bytes_text(least))
                          : fmt::format("{} to {}", bytes_text(least), bytes_text(most));
}

CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  return number(range_text(least, most), "a whole number", least, most, digits_in);
}

CLI::Validator byte_count(std::uint64_t least, std::uint64_t most) {
  return number(byte_range_text(least, most), "a number of bytes as in 4096, 64K or 16M", least, most,
                bytes_in);
}

CLI::Validator real_number(double least, double most) {
  const auto range = fmt::format("{} to {}", least, most);
  return CLI::Validator(
      [range, least, most](std::string& input) {
        double value = 0;
        const auto [end, code] = std::from_chars(input.data(), input.data() + input.size(), value);
        // Written so that NaN, which from_chars() accepts, is refused.
        const bool good =
            code == std::errc{} && end == input.data() + input.size() && value >= least && value <= most;
        return good ? std::string() : refusal_text(input, "a number", range);
      },
      range);
}

}  // namespace cpgring::cli
