// Requests of any size, for tests that write requests which the library would not.
#pragma once

#include <cstddef>
#include <vector>

#include "cpg/requests.hpp"

namespace cpgring::cpg {

/// A request of `size` bytes: a header, then zeros.
inline std::vector<std::byte> make_request(wire::request id, std::size_t size) {
  std::vector<std::byte> bytes(size);
  put_header(bytes.data(), id, size);
  return bytes;
}

}  // namespace cpgring::cpg
