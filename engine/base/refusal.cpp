#include "base/refusal.hpp"

#include <string>

#include <fmt/format.h>

namespace cpgring::base {
namespace {

std::string number(std::uint64_t n) { return n > 0xffffff ? fmt::format("{:#x}", n) : fmt::format("{}", n); }

std::string range(std::uint64_t least, std::uint64_t most) {
  if (least == most) {
    return number(least);
  }
  if (most == refusal::no_limit) {
    return number(least) + " or more";
  }
  return least < most ? fmt::format("{} to {}", number(least), number(most))
                      : fmt::format("{} or more, or at most {}", number(least), number(most));
}

}  // namespace

error refusal::to_error(std::string_view where) const {
  return {errc::malformed, fmt::format("{} {} is {}, allowed is {}; this connection ended", where, field,
                                       number(value), range(least, most))};
}

}  // namespace cpgring::base
