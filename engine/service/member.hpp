// One client of the service: its group, its backlog of events, its iterations and zero-copy buffers.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include <qb/qbipcs.h>

#include "base/clock.hpp"
#include "base/owned.hpp"
#include "service/groups.hpp"
#include "service/unsent_doorbells.hpp"

namespace cpgring::service {

struct zero_copy_buffer {
  base::unique_fd file;
  std::uint64_t size;
};

struct member {
  qb_ipcs_connection_t* connection = nullptr;
  std::uint64_t number = 0;  // 1, 2, 3 ... in the order of acceptance; 0: still in its handshake
  uid_t uid = 0;
  std::uint32_t pid = 0;
  std::uint32_t event_max = 0;  // the largest event that fits into its ring
  groups<member>::group* group = nullptr;
  bool finalized = false;      // finalized or closed: nothing more is sent to it
  bool disconnecting = false;  // will be disconnected after the current request
  bool in_large_message = false;
  bool interrupted = false;                    // a view was sent since the first fragment
  std::deque<std::vector<std::byte>> backlog;  // events that did not fit into its ring
  std::size_t backlog_bytes = 0;
  std::uint32_t iterations = 0;  // not yet finalized
  unsent_doorbells doorbells;
  std::optional<base::time_point> unread_since;  // it took its events but left too many doorbell bytes unread
  std::int32_t held_socket = -1;                 // its socket while its doorbell is held back
  std::unordered_map<std::uint64_t, zero_copy_buffer> buffers;  // for zero-copy sends of old libcpg
};

}  // namespace cpgring::service
