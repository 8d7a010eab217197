#include "cpg/codec.hpp"

#include <algorithm>
#include <string>

#include <fmt/format.h>

namespace cpgring::cpg {
namespace {

member address_at(const std::byte* at) noexcept {
  member m;
  m.node_id = base::read_once_u32(at + wire::address_node);
  m.pid = base::read_once_u32(at + wire::address_pid);
  const std::uint32_t why = base::read_once_u32(at + wire::address_reason);
  m.why = why <= static_cast<std::uint32_t>(reason::process_down) ? static_cast<reason>(why) : reason::none;
  return m;
}

std::string_view name_at(const std::byte* name) noexcept {
  const auto length =
      std::min<std::size_t>(base::read_once_u32(name + wire::name_length), wire::name_text_max);
  return {reinterpret_cast<const char*>(name) + wire::name_text, length};
}

/// Group names are arbitrary bytes, and an error text may be printed to a terminal.
std::string printable(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    if (c >= ' ' && c <= '~' && c != '\\') {
      text += c;
    } else {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return text;
}

const std::byte* nth(const std::byte* lists, std::size_t index) noexcept {
  return lists + index * wire::address_bytes;
}

event_kind decode_configuration(const std::byte* data, std::uint32_t size, event& out) noexcept {
  namespace w = wire::configuration_event;
  if (size < w::lists) {
    out.why = {"size of a configuration event", size, w::lists, base::refusal::no_limit};
    return event_kind::broken;
  }
  const std::uint32_t length = base::read_once_u32(data + w::name + wire::name_length);
  if (length > wire::name_text_max) {
    out.why = {"group name length", length, 0, wire::name_text_max};
    return event_kind::broken;
  }
  configuration& c = out.membership;
  c.group = {reinterpret_cast<const char*>(data) + w::name + wire::name_text, length};
  c.lists = data + w::lists;
  const std::uint64_t room = (size - w::lists) / wire::address_bytes;
  const std::uint64_t members = base::read_once_u32(data + w::members);
  const std::uint64_t left = base::read_once_u32(data + w::left);
  const std::uint64_t joined = base::read_once_u32(data + w::joined);
  if (members + left + joined > room) {
    out.why = {"member, left and joined counts together", members + left + joined, 0, room};
    return event_kind::broken;
  }
  c.members = static_cast<std::uint32_t>(members);
  c.left = static_cast<std::uint32_t>(left);
  c.joined = static_cast<std::uint32_t>(joined);
  return event_kind::configuration;
}

event_kind decode_totem(const std::byte* data, std::uint32_t size, event& out) noexcept {
  namespace w = wire::totem_configuration_event;
  if (size < w::members) {
    out.why = {"size of a ring event", size, w::members, base::refusal::no_limit};
    return event_kind::broken;
  }
  const std::uint32_t count = base::read_once_u32(data + w::count);
  if (count > (size - w::members) / 4) {
    out.why = {"node count of a ring event", count, 0, (size - w::members) / 4};
    return event_kind::broken;
  }
  out.ring.ring = {base::read_once_u32(data + w::ring_node), base::read_once_u64(data + w::ring_sequence)};
  out.ring.nodes = data + w::members;
  out.ring.count = count;
  return event_kind::totem_configuration;
}

event_kind decode_fragment(std::byte* data, std::uint32_t size, event& out) noexcept {
  namespace w = wire::partial_deliver_event;
  if (size < w::data) {
    out.why = {"size of a fragment event", size, w::data, base::refusal::no_limit};
    return event_kind::broken;
  }
  const std::uint32_t length = base::read_once_u32(data + w::length);
  if (length > size - w::data) {
    out.why = {"fragment length", length, 0, size - w::data};
    return event_kind::broken;
  }
  const std::uint32_t type = base::read_once_u32(data + w::type);
  if (type < 1 || type > 3) {
    out.why = {"fragment type", type, 1, 3};
    return event_kind::broken;
  }
  out.piece = {data + w::data,
               length,
               base::read_once_u32(data + w::node),
               base::read_once_u32(data + w::pid),
               base::read_once_u32(data + w::total),
               static_cast<wire::fragment_type>(type)};
  return event_kind::fragment;
}

}  // namespace

error event::to_error() const {
  if (why.field != wrong_group) {
    return why.to_error("the service sent an event whose");
  }
  return {errc::malformed,
          fmt::format(
              "the service sent an event of group '{}' to a handle that is in {}; this connection ended",
              printable(name_at(other_group)),
              own_group.empty() ? std::string("no group") : fmt::format("group '{}'", printable(own_group)))};
}

member configuration::member_at(std::uint32_t index) const noexcept { return address_at(nth(lists, index)); }
member configuration::left_at(std::uint32_t index) const noexcept {
  return address_at(nth(lists, std::size_t{members} + index));
}
member configuration::joined_at(std::uint32_t index) const noexcept {
  return address_at(nth(lists, std::size_t{members} + left + index));
}

event_kind decode_rare(std::byte* data, std::uint32_t size, event& out) noexcept {
  if (size < wire::response_header_bytes) {
    out.why = {"size of an event", size, wire::response_header_bytes, base::refusal::no_limit};
    return event_kind::broken;
  }
  const std::int32_t id = base::read_once_i32(data + wire::header_id);
  switch (static_cast<wire::event>(id)) {
    case wire::event::configuration: return decode_configuration(data, size, out);
    case wire::event::totem_configuration: return decode_totem(data, size, out);
    case wire::event::partial_deliver: return decode_fragment(data, size, out);
    case wire::event::deliver:
      out.why = {"size of a message event", size, wire::deliver_event::data, base::refusal::no_limit};
      return event_kind::broken;
  }
  out.why = {"event id", static_cast<std::uint32_t>(id),
             static_cast<std::uint64_t>(wire::event::configuration),
             static_cast<std::uint64_t>(wire::event::partial_deliver)};
  return event_kind::broken;
}

}  // namespace cpgring::cpg
