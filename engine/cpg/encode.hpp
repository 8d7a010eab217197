// Writes the header of a request, and group names, into the bytes of a request.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/put.hpp"
#include "cpg/wire_format.hpp"

namespace cpgring::cpg {

using base::put;

inline void put_header(std::byte* at, wire::request id, std::size_t size) noexcept {
  put(at + wire::header_id, static_cast<std::int32_t>(id));
  put(at + wire::header_size, static_cast<std::int32_t>(size));
}

/// Precondition: `name` has at most wire::name_text_max bytes.
inline void put_name(std::byte* at, std::string_view name) noexcept {
  put(at + wire::name_length, static_cast<std::uint32_t>(name.size()));
  if (!name.empty()) {  // the data of an empty view may be null, which memcpy does not allow
    std::memcpy(at + wire::name_text, name.data(), name.size());
  }
}

}  // namespace cpgring::cpg
