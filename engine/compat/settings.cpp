#include "compat/settings.hpp"

#include <stdlib.h>

#include <charconv>
#include <string_view>

namespace cpgring::compat {
namespace {

/// Parses all of `text` as a decimal number up to `most`.
std::optional<std::uint32_t> number(std::string_view text, std::uint32_t most) {
  std::uint32_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size() && value <= most ? std::optional(value)
                                                                                  : std::nullopt;
}

/// Uses secure_getenv(): a set-uid program must ignore its caller's environment.
settings read_environment() {
  settings s;
  if (const char* text = ::secure_getenv("CPGRING_LIBCPG_DEADLINE_MS")) {
    const auto value = number(text, 86400000);
    s.valid = value.has_value();
    s.deadline = std::chrono::milliseconds(value.value_or(0));
  }
  if (const char* text = ::secure_getenv("CPGRING_LIBCPG_SERVICE_UID")) {
    s.service_uid = number(text, UINT32_MAX - 1);
    s.valid = s.valid && s.service_uid;
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
