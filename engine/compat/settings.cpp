#include "compat/settings.hpp"

#include <stdlib.h>

#include <charconv>
#include <string_view>

namespace cpgring::compat {
namespace {

/// A set-uid program takes no advice from its caller.
settings read_environment() {
  settings s;
  if (const char* text = ::secure_getenv("CPGRING_LIBCPG_DEADLINE_MS")) {
    const std::string_view digits(text);
    unsigned value = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    s.valid = code == std::errc() && end == digits.data() + digits.size() && value <= 86400000;
    s.deadline = std::chrono::milliseconds(value);
  }
  if (const char* text = ::secure_getenv("CPGRING_LIBCPG_STOCK")) {
    std::string_view rest(text);
    while (!rest.empty()) {
      const auto comma = rest.find(',');
      const auto word = rest.substr(0, comma);
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
      if (word == "unjoined-send") {
        s.sends_unjoined = true;
      } else if (word == "leave-name") {
        s.leaves_by_name = true;
      } else if (word == "member-list") {
        s.unbounded_lists = true;
      } else {
        s.valid = false;
      }
    }
  }
  return s;
}

}  // namespace

const settings& settings_of_process() {
  static const settings s = read_environment();
  return s;
}

}  // namespace cpgring::compat
