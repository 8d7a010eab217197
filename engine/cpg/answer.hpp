// What the header of an answer says, and the error that it means.
#pragma once

#include <cstdint>
#include <string_view>

#include <fmt/format.h>
#include <cpgring/error.hpp>

#include "base/checked_read.hpp"
#include "cpg/pending.hpp"
#include "cpg/wire_format.hpp"

namespace cpgring::cpg {

inline std::int32_t answer_error(answer_bytes answer) noexcept { return base::read_once_i32(answer.data() + wire::header_error); }

inline error service_error(std::int32_t code, std::string_view what) {
  // cs_error_t has two gaps.
  const bool known_code = (code >= 2 && code <= 28) || code == 30 || code == 100;
  const auto known = static_cast<errc>(known_code ? code : static_cast<std::int32_t>(errc::library));
  return {known, fmt::format("the service refused {}: {} (code {})", what, make_error_code(known).message(), code)};
}

}  // namespace cpgring::cpg
