// A field of another process's bytes that is out of its range. Recorded without an allocation; the text of
// the error is made only when it is read.
//
// CPGRING_CHECK is for errors of this program and aborts it. A refusal is for errors of another process and
// ends one connection.
#pragma once

#include <cstdint>
#include <string_view>

#include <cpgring/error.hpp>

namespace cpgring::base {

struct refusal {
  const char* field = nullptr;  // a string literal; null: nothing was refused
  std::uint64_t value = 0;
  std::uint64_t least = 0;
  std::uint64_t most = 0;  // below `least`: the range wraps around the end of a ring

  static constexpr std::uint64_t no_limit = UINT64_MAX;

  explicit operator bool() const noexcept { return field != nullptr; }
  /// errc::malformed, "<where> <field> is ..., allowed is ...". `where` includes its punctuation: "the event
  /// ring:", "an event whose".
  [[nodiscard]] error to_error(std::string_view where) const;
};

}  // namespace cpgring::base
