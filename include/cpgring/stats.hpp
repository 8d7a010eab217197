// Counters of engines and handles. Read on the driving thread they are exact; on other threads they may be
// one turn old.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <cstdint>
#include <string_view>

#include <cpgring/options.hpp>

namespace cpgring {

struct handle_stats {
  std::uint64_t messages = 0;              ///< messages delivered
  std::uint64_t message_bytes = 0;         ///< payload bytes of these
  std::uint64_t views = 0;                 ///< views delivered
  std::uint64_t multicasts = 0;            ///< multicasts written into the request ring
  std::uint64_t multicast_bytes = 0;       ///< payload bytes of these
  std::uint64_t refused_not_writable = 0;  ///< calls of the driving thread refused with errc::try_again
  std::uint64_t doorbells = 0;             ///< sends on the socket; multicasts / doorbells is the batching
  std::uint64_t pokes = 0;                 ///< requests made only to make the service retry its queue
  std::uint64_t fragments = 0;             ///< fragments received
  std::uint64_t aborted = 0;               ///< fragmented messages that were not completed
  std::uint64_t shm_bytes = 0;             ///< bytes of the three rings
  std::uint64_t leases = 0;                ///< leases held now
  std::uint64_t lease_bytes = 0;           ///< bytes that they count against retained_bytes_max
  std::uint64_t copied_out = 0;            ///< messages and events copied out of the ring to free it
  std::uint64_t copied_out_bytes = 0;      ///< bytes of these
  std::uint64_t copied_out_now = 0;        ///< bytes of copies that wait for a worker now
  std::uint64_t ring_used = 0;      ///< bytes of the event ring in use at the last check, once per turn
  std::uint64_t ring_used_max = 0;  ///< maximum of ring_used; in engine_stats over all handles
  /// Time for which nothing has gone back to a ring in which something waits; in engine_stats the maximum
  /// over all handles.
  std::uint64_t oldest_age_ns = 0;
  std::uint64_t overloads = 0;    ///< overload episodes: half of the ring stayed in use; see on_overload
  std::uint64_t callback_ns = 0;  ///< time spent in turns with callbacks; without workers only
};

struct engine_stats {
  handle_stats total;              ///< sum over all handles, closed ones included
  std::uint64_t handles = 0;       ///< handles open now
  std::uint64_t turns = 0;         ///< turns of handles
  std::uint64_t wakeups = 0;       ///< waits that ended because an event arrived
  std::uint64_t sleeps = 0;        ///< times that the thread slept
  std::uint64_t enters = 0;        ///< system calls into io_uring or epoll
  std::uint64_t arms = 0;          ///< waits armed
  std::uint64_t overflows = 0;     ///< completion queue overflows (harmless, slow: raise handles_expected)
  std::uint64_t crossings = 0;     ///< requests from other threads
  std::uint64_t log_failures = 0;  ///< lines whose log callback threw
  wakeup backend = wakeup::automatic;  ///< the backend in use; automatic: not chosen yet
};

}  // namespace cpgring

#endif
