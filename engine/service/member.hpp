// One client of the service: its place in a group, what waits for it outside its ring, its iterations and zero-copy buffers.
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
#include "service/injector.hpp"
#include "service/owed_doorbells.hpp"

namespace cpgring::service {

struct zero_copy_buffer {
  base::unique_fd file;
  std::uint64_t size;
};

struct member {
  qb_ipcs_connection_t* connection = nullptr;
  uid_t uid = 0;
  std::uint32_t pid = 0;
  std::uint32_t event_max = 0;  // the largest event that its ring can hold
  groups<member>::group* group = nullptr;
  bool finalized = false;  // has said goodbye: nothing more is sent to it
  bool doomed = false;     // will be disconnected at the end of this turn
  bool in_large_message = false;
  bool interrupted = false;                    // a view came since the first fragment
  std::deque<std::vector<std::byte>> backlog;  // events that did not fit into its ring
  std::size_t backlog_bytes = 0;
  std::uint32_t iterations = 0;  // begun and not finalized
  owed_doorbells doorbells;
  std::optional<base::time_point> unread_since;  // its doorbells are at their limit, and it has taken the events
  fault_occasions occasions;
  std::int32_t held_socket = -1;                                // its doorbell is being held back
  std::unordered_map<std::uint64_t, zero_copy_buffer> buffers;  // zero-copy sends of old libcpg
};

}  // namespace cpgring::service
