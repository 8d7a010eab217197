// Encodes events and responses, which cpg/codec decodes. Padding is zeroed, so that no earlier bytes leak to
// clients.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "base/put.hpp"
#include "cpg/wire_format.hpp"
#include "service/member.hpp"

namespace cpgring::service {

namespace wire = cpg::wire;

using base::put;

template <class Id>
inline void put_header(std::byte* at, Id id, std::size_t size, std::int32_t error) noexcept {
  put(at + wire::header_id, static_cast<std::int32_t>(id));
  put(at + wire::header_size, static_cast<std::int32_t>(size));
  put(at + wire::header_error, error);
}

inline void put_name(std::byte* at, std::string_view name) noexcept {
  put(at + wire::name_length, static_cast<std::uint32_t>(name.size()));
  std::memcpy(at + wire::name_text, name.data(), name.size());
}

/// A process in the lists of a view.
struct address {
  std::uint32_t node = 0;
  std::uint32_t pid = 0;
  wire::reason why = wire::reason::none;
};
using addresses = std::span<const address>;

/// A view: a group's members after a change, and who joined or left.
inline std::vector<std::byte> configuration_event(std::string_view group, addresses members, addresses joined,
                                                  addresses left) {
  namespace w = wire::configuration_event;
  std::vector<std::byte> bytes(w::lists +
                               (members.size() + joined.size() + left.size()) * wire::address_bytes);
  put_header(bytes.data(), wire::event::configuration, bytes.size(), 1);
  put_name(bytes.data() + w::name, group);
  put(bytes.data() + w::members, static_cast<std::uint32_t>(members.size()));
  put(bytes.data() + w::joined, static_cast<std::uint32_t>(joined.size()));
  put(bytes.data() + w::left, static_cast<std::uint32_t>(left.size()));
  std::byte* at = bytes.data() + w::lists;
  for (const addresses list : {members, left, joined}) {
    for (const address& one : list) {
      put(at + wire::address_node, one.node);
      put(at + wire::address_pid, one.pid);
      put(at + wire::address_reason, static_cast<std::uint32_t>(one.why));
      at += wire::address_bytes;
    }
  }
  return bytes;
}

/// A ring configuration: its `nodes`, one of which is `representative`.
inline std::vector<std::byte> ring_event(std::uint32_t representative, std::uint64_t sequence,
                                         std::span<const std::uint32_t> nodes) {
  namespace w = wire::totem_configuration_event;
  std::vector<std::byte> bytes(w::fixed_bytes + nodes.size() * 4);
  put_header(bytes.data(), wire::event::totem_configuration, bytes.size(), 1);
  put(bytes.data() + w::ring_node, representative);
  put(bytes.data() + w::ring_sequence, sequence);
  put(bytes.data() + w::count, static_cast<std::uint32_t>(nodes.size()));
  std::byte* at = bytes.data() + w::members;
  for (const std::uint32_t node : nodes) {
    put(at, node);
    at += 4;
  }
  return bytes;
}

/// The header in front of a message's payload.
inline std::array<std::byte, wire::deliver_event::data> deliver_header(std::uint32_t node, const member& from,
                                                                       std::size_t payload) {
  namespace w = wire::deliver_event;
  std::array<std::byte, w::data> bytes{};
  put_header(bytes.data(), wire::event::deliver, w::data + payload, 1);
  put_name(bytes.data() + w::name, from.group->name);
  put(bytes.data() + w::length, static_cast<std::uint32_t>(payload));
  put(bytes.data() + w::node, node);
  put(bytes.data() + w::pid, from.pid);
  return bytes;
}

/// The header in front of a fragment's payload.
inline std::array<std::byte, wire::partial_deliver_event::data> fragment_header(
    std::uint32_t node, const member& from, std::size_t payload, std::uint32_t total, std::uint32_t type) {
  namespace w = wire::partial_deliver_event;
  std::array<std::byte, w::data> bytes{};
  put_header(bytes.data(), wire::event::partial_deliver, w::data + payload, 1);
  put_name(bytes.data() + w::name, from.group->name);
  put(bytes.data() + w::total, total);
  put(bytes.data() + w::length, static_cast<std::uint32_t>(payload));
  put(bytes.data() + w::node, node);
  put(bytes.data() + w::pid, from.pid);
  put(bytes.data() + w::type, type);
  return bytes;
}

}  // namespace cpgring::service
