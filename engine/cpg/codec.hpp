// Station D4 of 9: from ipc/ring_reader, to dispatch/descriptor.
//
// Turns the bytes of one frame into one event. The bytes are foreign: each length, count and id is read once and checked
// against the frame, a group's name against the group that the handle is in; on nonsense the answer is `broken` and a refusal that names
// the field. Payload is not touched. Any thread; no state. Invariants: I1 nothing outside the frame is ever referred to. I2 no allocation
// except in refusal::to_error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <cpgring/error.hpp>
#include <cpgring/view.hpp>

#include "base/checked_read.hpp"
#include "cpg/wire_format.hpp"

namespace cpgring::cpg {

enum class event_kind : std::uint8_t { deliver, configuration, totem_configuration, fragment, broken };
constexpr bool makes_a_view(event_kind kind) noexcept {
  return kind == event_kind::configuration || kind == event_kind::totem_configuration;
}

constexpr bool has_a_group(event_kind kind) noexcept {
  return kind == event_kind::deliver || kind == event_kind::configuration || kind == event_kind::fragment;
}

/// What a field said and what it may say; made into text only when somebody has to read it, while the frame is there.
struct refusal {
  const char* field = "";
  std::uint64_t value = 0;
  std::uint64_t allowed = 0;
  const std::byte* name = nullptr;  ///< not null: an event of this group (in the frame) came to a handle in `group`, or in none
  std::string_view group = {};
  [[nodiscard]] error to_error() const;
};

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

/// Counts are checked: lists[0 .. members + left + joined) lies inside the frame.
struct configuration {
  std::string_view group;
  const std::byte* lists = nullptr;
  std::uint32_t members = 0;
  std::uint32_t left = 0;
  std::uint32_t joined = 0;

  [[nodiscard]] member member_at(std::uint32_t index) const noexcept;  // 0 .. members
  [[nodiscard]] member left_at(std::uint32_t index) const noexcept;    // 0 .. left
  [[nodiscard]] member joined_at(std::uint32_t index) const noexcept;  // 0 .. joined
};

struct totem_configuration {
  ring_id ring;
  const std::byte* nodes = nullptr;
  std::uint32_t count = 0;

  [[nodiscard]] std::uint32_t node_at(std::uint32_t index) const noexcept { return base::read_once_u32(nodes + std::size_t{index} * 4); }
};

/// The rare kinds are decoded into one of these; which one is said by event_kind.
struct event {
  deliver message;
  fragment piece;
  configuration membership;
  totem_configuration ring;
  refusal why;
};

/// Everything but a plain message; out of line, because it is rare.
event_kind decode_rare(std::byte* data, std::uint32_t size, event& out) noexcept;

inline event_kind decode(std::byte* data, std::uint32_t size, event& out) noexcept {
  namespace w = wire::deliver_event;
  if (size >= w::data && base::read_once_i32(data + wire::header_id) == static_cast<std::int32_t>(wire::event::deliver)) [[likely]] {
    const std::uint32_t length = base::read_once_u32(data + w::length);
    if (length > size - w::data) [[unlikely]] {
      out.why = {"message length", length, size - w::data};
      return event_kind::broken;
    }
    out.message = {data + w::data, length, base::read_once_u32(data + w::node), base::read_once_u32(data + w::pid)};
    return event_kind::deliver;
  }
  return decode_rare(data, size, out);
}

/// Whether an event of a kind that has a group is one of `group`'s.
inline bool is_of_group(const std::byte* frame, std::string_view group) noexcept {
  const std::byte* const name = frame + wire::event_group;
  return !group.empty() && base::read_once_u32(name + wire::name_length) == group.size() &&
         std::memcmp(name + wire::name_text, group.data(), group.size()) == 0;
}

/// As above, for a connection that is in `group` (empty: in none): an event of another group is broken too.
inline event_kind decode(std::byte* data, std::uint32_t size, std::string_view group, event& out) noexcept {
  const event_kind kind = decode(data, size, out);
  if (has_a_group(kind) && !is_of_group(data, group)) [[unlikely]] {
    out.why = {"group of an event", 0, 0, data + wire::event_group, group};
    return event_kind::broken;
  }
  return kind;
}

}  // namespace cpgring::cpg
