// Counters: what an engine or a handle has done. Plain numbers; read them on the reactor's thread for exact values, from
// any other for values that may be a turn old.
#pragma once

#include <cstdint>
#include <string_view>

#include <cpgring/options.hpp>

namespace cpgring {

struct handle_stats {
  std::uint64_t messages = 0;              ///< delivered
  std::uint64_t message_bytes = 0;         ///< payload of these
  std::uint64_t views = 0;                 ///< delivered
  std::uint64_t multicasts = 0;            ///< written into the request ring
  std::uint64_t multicast_bytes = 0;       ///< payload of these
  std::uint64_t refused_not_writable = 0;  ///< multicasts answered errc::try_again
  std::uint64_t doorbells = 0;             ///< sends on the socket; multicasts / doorbells = batching
  std::uint64_t pokes = 0;                 ///< requests made only to make the service look at its queue again
  std::uint64_t fragments = 0;             ///< received
  std::uint64_t aborted = 0;               ///< fragmented messages never completed
  std::uint64_t shm_bytes = 0;             ///< of the three rings
  std::uint64_t leases = 0;                ///< messages retained now
  std::uint64_t lease_bytes = 0;           ///< what they count against retained_bytes_max
  std::uint64_t copied_out = 0;            ///< messages and events moved out of the ring so that it could go on
  std::uint64_t copied_out_bytes = 0;      ///< bytes of these
  std::uint64_t copied_out_now = 0;        ///< bytes of memory that wait in copies for a worker
  std::uint64_t ring_used = 0;             ///< bytes of the event ring in use when it was last looked at; with workers or leases
  std::uint64_t ring_used_max = 0;         ///< the most of that so far; its maximum over handles in engine_stats
  std::uint64_t oldest_age_ns = 0;         ///< for how long nothing had gone back to the ring then; the maximum in engine_stats
  std::uint64_t overloads = 0;             ///< times that half of the ring was in use, and on_overload was called
};

struct engine_stats {
  handle_stats total;                  ///< sum over all handles, closed ones included
  std::uint64_t handles = 0;           ///< open now
  std::uint64_t turns = 0;             ///< of handles
  std::uint64_t wakeups = 0;           ///< waits that ended because an event arrived
  std::uint64_t sleeps = 0;            ///< times the thread slept
  std::uint64_t enters = 0;            ///< system calls into io_uring or epoll
  std::uint64_t arms = 0;              ///< waits armed
  std::uint64_t overflows = 0;         ///< completion queue overflows (harmless but slow: raise handles_expected)
  std::uint64_t crossings = 0;         ///< requests that came from other threads
  std::uint64_t log_failures = 0;      ///< lines whose log callback threw
  wakeup backend = wakeup::automatic;  ///< the one in use; automatic: not yet chosen
};

}  // namespace cpgring
