// Station D6 of 9: from ipc/ring_reader, to delivery/inline_lane.
//
// Decodes one frame into one event. Frames are foreign bytes: each length, count and id is read once and
// checked against the frame, and a group name is compared with the group of the handle. A frame that breaks a
// rule is `broken`, with a refusal that names the field. The payload is not read. Any thread; no state.
// Invariants:
// I1 Nothing refers to bytes outside of the frame.
// I2 Only to_error() allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <cpgring/error.hpp>
#include <cpgring/view.hpp>

#include "base/checked_read.hpp"
#include "base/refusal.hpp"
#include "cpg/wire_format.hpp"

namespace cpgring::cpg {

enum class event_kind : std::uint8_t { deliver, configuration, totem_configuration, fragment, broken };
constexpr bool makes_a_view(event_kind kind) noexcept {
  return kind == event_kind::configuration || kind == event_kind::totem_configuration;
}

constexpr bool has_a_group(event_kind kind) noexcept {
  return kind == event_kind::deliver || kind == event_kind::configuration || kind == event_kind::fragment;
}

struct deliver {
  std::byte* data = nullptr;
  std::uint32_t size = 0;
  std::uint32_t node = 0;
  std::uint32_t pid = 0;
};

struct fragment {
  std::byte* data = nullptr;
  std::uint32_t size = 0;
  std::uint32_t node = 0;
  std::uint32_t pid = 0;
  std::uint32_t total = 0;
  wire::fragment_type type = wire::fragment_type::first;
};

/// The counts are checked: the addresses lists[0 .. members + left + joined) lie inside the frame.
struct configuration {
  std::string_view group;
  const std::byte* lists = nullptr;
  std::uint32_t members = 0;
  std::uint32_t left = 0;
  std::uint32_t joined = 0;

  [[nodiscard]] member member_at(std::uint32_t index) const noexcept;  // index < members
  [[nodiscard]] member left_at(std::uint32_t index) const noexcept;    // index < left
  [[nodiscard]] member joined_at(std::uint32_t index) const noexcept;  // index < joined
};

struct totem_configuration {
  ring_id ring;
  const std::byte* nodes = nullptr;
  std::uint32_t count = 0;

  [[nodiscard]] std::uint32_t node_at(std::uint32_t index) const noexcept {
    return base::read_once_u32(nodes + std::size_t{index} * 4);
  }
};

/// `event::why.field` of an event that belongs to another group than the handle's. Compared by its address.
inline constexpr char wrong_group[] = "group";

/// The result of decode(). The event_kind that decode() returns says which member is set; `broken`: `why`.
struct event {
  deliver message;
  fragment piece;
  configuration membership;
  totem_configuration ring;
  base::refusal why;
  const std::byte* other_group = nullptr;  // if why.field is wrong_group: the name in the frame
  std::string_view own_group;

  /// Precondition: the event is `broken`, and its frame is still valid.
  [[nodiscard]] error to_error() const;
};

/// Decodes everything but plain messages. Out of line, because such events are rare.
event_kind decode_rare(std::byte* data, std::uint32_t size, event& out) noexcept;

inline event_kind decode(std::byte* data, std::uint32_t size, event& out) noexcept {
  namespace w = wire::deliver_event;
  if (size >= w::data && base::read_once_i32(data + wire::header_id) ==
                             static_cast<std::int32_t>(wire::event::deliver)) [[likely]] {
    const std::uint32_t length = base::read_once_u32(data + w::length);
    if (length > size - w::data) [[unlikely]] {
      out.why = {"message length", length, 0, size - w::data};
      return event_kind::broken;
    }
    out.message = {data + w::data, length, base::read_once_u32(data + w::node),
                   base::read_once_u32(data + w::pid)};
    return event_kind::deliver;
  }
  return decode_rare(data, size, out);
}

/// True if the event in `frame` belongs to `group`. Precondition: the event is of a kind that has a group.
inline bool is_of_group(const std::byte* frame, std::string_view group) noexcept {
  const std::byte* const name = frame + wire::event_group;
  return !group.empty() && base::read_once_u32(name + wire::name_length) == group.size() &&
         std::memcmp(name + wire::name_text, group.data(), group.size()) == 0;
}

/// The same for a connection that is in `group` (empty: in no group). Events of other groups are broken too.
inline event_kind decode(std::byte* data, std::uint32_t size, std::string_view group, event& out) noexcept {
  const event_kind kind = decode(data, size, out);
  if (has_a_group(kind) && !is_of_group(data, group)) [[unlikely]] {
    out.why = {wrong_group};
    out.other_group = data + wire::event_group;
    out.own_group = group;
    return event_kind::broken;
  }
  return kind;
}

}  // namespace cpgring::cpg
