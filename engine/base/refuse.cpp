#include "base/refuse.hpp"

#include <fmt/format.h>

namespace cpgring::base {

error refusal::to_error(std::string_view where) const {
  const auto number = [](std::uint64_t n) { return n > 0xffffff ? fmt::format("{:#x}", n) : fmt::format("{}", n); };
  const std::string allowed = least == most  ? number(least)
                              : least < most ? fmt::format("{} to {}", number(least), number(most))
                                             : fmt::format("{} or more, or at most {}", number(least), number(most));
  return {errc::malformed, fmt::format("{}: {} is {}, allowed is {}; this connection ended", where, field, number(value), allowed)};
}

}  // namespace cpgring::base
