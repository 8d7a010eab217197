// Requests, responses and events of the CPG service, byte by byte: corosync 3.1.x on x86-64 (little-endian).
//
// Offsets and numbers only, shared by the session (client side) and the embedded service. Fields are 4- or
// 8-byte aligned within their message, but a message in a ring is only 4-byte aligned.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cpgring::cpg::wire {

// Every request starts with a header of 16 bytes, every response and event with one of 24.
inline constexpr std::size_t header_id = 0;      // i32
inline constexpr std::size_t header_size = 8;    // i32, the whole message
inline constexpr std::size_t header_error = 16;  // i32, cs_error_t; multicast requests have it too, unused

/// Values of header_error: those of cs_error_t.
namespace status {
inline constexpr std::int32_t ok = 1, library = 2, try_again = 6, invalid_param = 7, no_memory = 8, busy = 10,
                              not_exist = 12, name_too_long = 13, exist = 14, interrupt = 16,
                              not_supported = 19, no_sections = 27, context_not_found = 28,
                              too_many_groups = 30, security = 100;
/// False: no service uses that number.
constexpr bool is_known(std::int32_t code) noexcept {
  return (code >= ok && code <= context_not_found) || code == too_many_groups || code == security;
}
}  // namespace status
inline constexpr std::size_t request_header_bytes = 16;
inline constexpr std::size_t response_header_bytes = 24;

// A group name: u32 length, then 128 bytes at 8. Two names are equal if their lengths and bytes are equal.
inline constexpr std::size_t name_bytes = 136;
inline constexpr std::size_t name_length = 0;
inline constexpr std::size_t name_text = 8;
inline constexpr std::size_t name_text_max = 128;

// A member: u32 node id, u32 pid, u32 reason, each 8 bytes apart.
inline constexpr std::size_t address_bytes = 24;
inline constexpr std::size_t address_node = 0;
inline constexpr std::size_t address_pid = 8;
inline constexpr std::size_t address_reason = 16;

enum class request : std::int32_t {
  join = 0,
  leave = 1,
  multicast = 2,
  membership = 3,
  local_get = 4,
  iteration_initialize = 5,
  iteration_next = 6,
  iteration_finalize = 7,
  finalize = 8,
  zc_alloc = 9,
  zc_free = 10,
  zc_execute = 11,
  partial_multicast = 12,
};

enum class response : std::int32_t {
  join = 0,
  leave = 1,
  zc_execute = 2,
  membership = 3,
  local_get = 7,
  iteration_initialize = 9,
  iteration_next = 10,
  iteration_finalize = 11,
  finalize = 12,
  partial_multicast = 18,
};

enum class event : std::int32_t {
  configuration = 4,
  deliver = 5,
  totem_configuration = 13,
  partial_deliver = 17,
};

namespace join_request {
inline constexpr std::size_t name = 16, pid = 152, flags = 160, bytes = 168;
inline constexpr std::uint32_t flag_initial_totem_configuration = 1;
}  // namespace join_request
namespace leave_request {
inline constexpr std::size_t name = 16, pid = 152, bytes = 160;
}
namespace multicast_request {
inline constexpr std::size_t guarantee = 24, length = 32, data = 40;
}
namespace membership_request {
inline constexpr std::size_t name = 16, bytes = 152;
}
namespace membership_response {
inline constexpr std::size_t count = 24, members = 32, bytes = 9248, members_max = 384;
}
namespace local_get_request {
inline constexpr std::size_t bytes = 16;
}
namespace local_get_response {
inline constexpr std::size_t node = 24, bytes = 32;
}
namespace iteration_initialize_request {
inline constexpr std::size_t name = 16, type = 152, bytes = 160;
inline constexpr std::uint32_t names_only = 1, one_group = 2, all = 3;
}  // namespace iteration_initialize_request
namespace iteration_initialize_response {
inline constexpr std::size_t handle = 24, bytes = 32;
}
namespace iteration_next_request {
inline constexpr std::size_t handle = 16, bytes = 24;
}
namespace iteration_next_response {
inline constexpr std::size_t name = 24, node = 160, pid = 164, bytes = 168;
}
namespace iteration_finalize_request {
inline constexpr std::size_t handle = 16, bytes = 24;
}
namespace finalize_request {
inline constexpr std::size_t bytes = 16;
}
namespace zc_alloc_request {
inline constexpr std::size_t map_size = 16, path = 24, bytes = 152;
}
namespace zc_free_request {
inline constexpr std::size_t map_size = 16, address = 24, bytes = 32;
}
namespace zc_execute_request {
inline constexpr std::size_t address = 16, bytes = 24;
}
namespace partial_multicast_request {
inline constexpr std::size_t guarantee = 24, total = 32, length = 40, type = 48, data = 56;
}
enum class fragment_type : std::uint32_t { first = 1, middle = 2, last = 3 };

namespace configuration_event {
// The addresses start at `lists`: members, then left, then joined.
inline constexpr std::size_t name = 24, members = 160, joined = 168, left = 176, lists = 184;
}  // namespace configuration_event
namespace deliver_event {
inline constexpr std::size_t name = 24, length = 160, node = 168, pid = 176, data = 184;
}
namespace totem_configuration_event {
// 4-byte node ids start at `members`; 4 bytes of junk at the end.
inline constexpr std::size_t ring_node = 24, ring_sequence = 32, count = 40, members = 44, fixed_bytes = 48;
}  // namespace totem_configuration_event
namespace partial_deliver_event {
inline constexpr std::size_t name = 24, total = 160, length = 168, node = 176, pid = 184, type = 192,
                             data = 200;
}

/// Offset of the group name, in the three kinds of events that belong to a group.
inline constexpr std::size_t event_group = 24;
static_assert(event_group == configuration_event::name && event_group == deliver_event::name &&
              event_group == partial_deliver_event::name);
static_assert(event_group + name_bytes <= deliver_event::length && name_text + name_text_max == name_bytes);

enum class reason : std::uint32_t {
  none = 0,
  join = 1,
  leave = 2,
  node_down = 3,
  node_up = 4,
  process_down = 5
};

/// Largest payload of one multicast or fragment; a larger one kills stock daemons on every node.
inline constexpr std::size_t atomic_payload_max = 1047552;

}  // namespace cpgring::cpg::wire
