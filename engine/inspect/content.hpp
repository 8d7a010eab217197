// Decodes the payload of one chunk of a CPG connection: a request, a response or an event.
//
// Pure functions, any thread. The payload is foreign bytes: what does not decode has `wrong`. Events are
// decoded by cpg/codec, requests and responses by the offsets in cpg/wire_format.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <cpgring/view.hpp>

namespace cpgring::inspect {

enum class ring_kind : std::uint8_t { unknown, request, response, event };
std::string_view to_string(ring_kind kind) noexcept;

/// What the name of a ring's file says: "qb-event-cpg-data" is the event ring of service "cpg".
struct ring_name {
  ring_kind kind = ring_kind::unknown;
  std::string_view service;  // refers to the name; empty: unknown
};
/// `file`: the name without its folder, with or without "-header" or "-data".
ring_name name_of(std::string_view file) noexcept;
/// False: `service` is one of corosync's other services, whose payloads look like those of CPG and are not.
bool may_be_cpg(std::string_view service) noexcept;

/// What a chunk contains. Views refer to the payload. A field that this kind of message lacks is empty.
struct content {
  std::string what;                       // "message", "view", "request to join", ...; empty: see `wrong`
  std::string wrong;                      // why it does not decode
  std::optional<std::string_view> group;  // arbitrary bytes
  std::optional<std::uint32_t> node, pid;
  std::optional<std::span<const std::byte>> data;  // of a message, a fragment, or a request to multicast one
  std::optional<std::uint32_t> total;              // bytes of the whole message that comes in fragments
  std::string_view fragment;                       // "first", "middle" or "last"
  std::vector<member> members, left, joined;       // of a view
  std::optional<ring_id> ring;                     // of a change of the totem ring
  std::vector<std::uint32_t> ring_nodes;
  std::string status;  // of a response
  std::optional<std::uint64_t> iteration;
};

/// `payload` is 4-byte aligned; nothing in it is changed.
content describe_content(ring_kind kind, std::span<std::byte> payload);

}  // namespace cpgring::inspect
