// What a foreign field said and what it may say: noted without allocation where it is found, made into an error when somebody has to read
// it.
//
// The other word beside check(): a check is about our own code and stops the program, a refusal is about foreign bytes and ends one
// connection.
#pragma once

#include <cstdint>
#include <string_view>

#include <cpgring/error.hpp>

namespace cpgring::base {

struct refusal {
  const char* field = nullptr;  // a literal; null: nothing was refused
  std::uint64_t value = 0;
  std::uint64_t least = 0;
  std::uint64_t most = 0;  // below `least`: a range that goes over the end of a ring

  explicit operator bool() const noexcept { return field != nullptr; }
  /// errc::malformed; `where` is the place of the field: "the event ring", "an answer of the service".
  [[nodiscard]] error to_error(std::string_view where) const;
};

}  // namespace cpgring::base
