#include "cli/text.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <fmt/format.h>

namespace cpgring::cli {
namespace {

constexpr std::uint32_t invalid = 0xFFFFFFFF;

struct decoded {
  std::uint32_t point;  // or `invalid`
  std::size_t bytes;    // 1 if it is invalid
};

constexpr std::uint32_t byte_at(std::string_view bytes, std::size_t index) noexcept {
  return static_cast<unsigned char>(bytes[index]);
}

/// Decodes the first code point. `bytes` must not be empty.
decoded first_point(std::string_view bytes) noexcept {
  const std::uint32_t lead = byte_at(bytes, 0);
  if (lead < 0x80) {
    return {lead, 1};
  }
  const std::size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                             : lead >= 0xE0 && lead <= 0xEF ? 3
                             : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                            : 0;
  if (length == 0 || bytes.size() < length) {
    return {invalid, 1};
  }
  std::uint32_t point = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte_at(bytes, i) & 0xC0) != 0x80) {
      return {invalid, 1};
    }
    point = point << 6 | (byte_at(bytes, i) & 0x3F);
  }
  const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  return overlong || surrogate || point > 0x10FFFF ? decoded{invalid, 1} : decoded{point, length};
}

/// True for Unicode's line and paragraph separators, and for its marks and controls of text direction.
constexpr bool moves_text(std::uint32_t point) noexcept {
  return point == 0x061C || point == 0x200E || point == 0x200F || (point >= 0x2028 && point <= 0x202E) ||
         (point >= 0x2066 && point <= 0x2069) || point == 0xFEFF;
}

void append_escaped(std::string& to, std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    to += fmt::format("\\x{:02x}", byte_at(bytes, i));
  }
}

}  // namespace

std::string printable(std::string_view bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == '\\') {
      text += "\\\\";
    } else if (bytes[i] >= ' ' && bytes[i] <= '~') {
      text += bytes[i];
    } else {
      append_escaped(text, bytes.substr(i, 1));
    }
  }
  return text;
}

std::string printable_text(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const auto [point, length] = first_point(bytes);
    const auto here = bytes.substr(0, length);
    const bool control = (point < 0x20 && point != '\t') || (point >= 0x7F && point <= 0x9F);
    if (point == '\\') {
      text += "\\\\";
    } else if (point == invalid || control || moves_text(point)) {
      append_escaped(text, here);
    } else {
      text += here;
    }
    bytes.remove_prefix(length);
  }
  return text;
}

std::string without_raw_controls(std::string json) {
  const auto first = [&json](std::size_t from) { return json.find_first_of("\x7F\xC2", from); };
  if (first(0) == std::string::npos) {
    return json;
  }
  std::string text;
  std::size_t done = 0;
  for (auto at = first(0); at != std::string::npos; at = first(at)) {
    const std::uint32_t point = json[at] == '\x7F' ? 0x7F : at + 1 < json.size() ? byte_at(json, at + 1) : 0;
    const std::size_t length = json[at] == '\x7F' ? 1 : 2;
    if (length == 1 || (point >= 0x80 && point <= 0x9F)) {
      text.append(json, done, at - done);
      text += fmt::format("\\u{:04x}", point);
      done = at + length;
    }
    at += length;
  }
  text.append(json, done, std::string::npos);
  return text;
}

}  // namespace cpgring::cli
