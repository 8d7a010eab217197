// Requests as bytes: the counterpart of codec, for what goes to the service.
//
// Every byte of a request is set, padding included, so that nothing of earlier messages leaks through shared memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/put.hpp"
#include "cpg/wire_format.hpp"

namespace cpgring::cpg {

using base::put;

inline void put_header(std::byte* at, wire::request id, std::size_t size) noexcept {
  put(at + wire::header_id, static_cast<std::int32_t>(id));
  put(at + wire::header_size, static_cast<std::int32_t>(size));
}

inline void put_name(std::byte* at, std::string_view name) noexcept {
  put(at + wire::name_length, static_cast<std::uint32_t>(name.size()));
  std::memcpy(at + wire::name_text, name.data(), name.size());
}

/// A request of `size` zero bytes with its header set.
inline std::vector<std::byte> make_request(wire::request id, std::size_t size) {
  std::vector<std::byte> bytes(size);
  put_header(bytes.data(), id, size);
  return bytes;
}

/// The 40 bytes ahead of a multicast's payload.
inline void put_multicast_header(std::byte* at, std::size_t payload) noexcept {
  std::memset(at, 0, wire::multicast_request::data);
  put_header(at, wire::request::multicast, wire::multicast_request::data + payload);
  put(at + wire::multicast_request::guarantee, std::uint32_t{2});  // agreed; services ignore it
  put(at + wire::multicast_request::length, static_cast<std::uint32_t>(payload));
}

/// The 56 bytes ahead of a fragment.
inline void put_fragment_header(std::byte* at, std::size_t total, std::size_t payload, wire::fragment_type type) noexcept {
  namespace w = wire::partial_multicast_request;
  std::memset(at, 0, w::data);
  put_header(at, wire::request::partial_multicast, w::data + payload);
  put(at + w::guarantee, std::uint32_t{2});
  put(at + w::total, static_cast<std::uint32_t>(total));
  put(at + w::length, static_cast<std::uint32_t>(payload));
  put(at + w::type, static_cast<std::uint32_t>(type));
}

}  // namespace cpgring::cpg
