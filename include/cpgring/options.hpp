// All options of engines and handles: plain structs with defaults and a validate() each.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <cpgring/log.hpp>
#include <cpgring/result.hpp>

namespace cpgring {

class message;

namespace detail {

struct simulation {
  std::uint32_t pid = 0;
};

}  // namespace detail

/// How a reactor learns that an event arrived. Leave it at `automatic`, which tries futex, then epoll, at
/// start with a real event. If io_uring is refused later (by a seccomp filter), `automatic` changes to epoll;
/// with a forced backend the call that drives the engine fails with errc::unsupported_kernel.
enum class wakeup {
  automatic,
  /// io_uring waits on the event ring's semaphore; the socket is read once in 8192 events. Needs Linux 6.7
  /// and glibc's 64-bit sem_t.
  futex,
  epoll,  ///< without io_uring: waits for the doorbell bytes; used where futex does not work or is refused
};
std::string_view to_string(wakeup backend) noexcept;

/// Behaviour of a reactor or a worker while nothing waits.
enum class idle {
  block,     ///< sleep at once: least CPU time
  adaptive,  ///< poll before a sleep while that is cheaper than sleeping, within idle_cpu_share (default)
  spin,      ///< never sleep: lowest latency, one CPU per thread. Useless with fewer CPUs than busy threads
  yield,     ///< never sleep; yield the CPU between polls
};
std::string_view to_string(idle strategy) noexcept;

/// Which worker runs the callback of a message, and so which order is kept. Views, changes of state and other
/// notices are fences under every policy: they run alone, after everything of their handle before them and
/// before everything behind them.
enum class ordering {
  by_handle,  ///< one worker for the handle: total order, as CPG gives it (default)
  by_sender,  ///< each sender's messages in order, different senders in parallel
  by_key,     ///< messages of one handle_options::key in order, different keys in parallel
  unordered,  ///< the worker with the fewest messages
};
std::string_view to_string(ordering policy) noexcept;

/// With workers: what happens to a handle whose callbacks fall behind, so that its ring is three quarters
/// full and has been at least half full for 2 ms. Other handles are not affected.
enum class overload {
  hold,  ///< nothing: the ring fills up, and then the service queues or slows its senders down
  /// Waiting messages are copied out of the ring, up to handle_options::copy_out_bytes_max; then as hold
  /// (default).
  copy_out,
  disconnect,  ///< the handle is closed with errc::overloaded
};
std::string_view to_string(overload policy) noexcept;

/// Argument of engine_options::on_service: a service has gone or has come back.
struct service_change {
  std::string service;         ///< as in handle_options::service
  bool there = false;          ///< true: it has come back
  std::optional<error> cause;  ///< if it has gone: the error of the first handle that lost it
};

struct engine_options {
  /// A forced backend that does not work fails with errc::unsupported_kernel.
  wakeup wakeup_backend = wakeup::automatic;
  idle idle_strategy = idle::adaptive;
  /// With `adaptive`: CPU time for polls that find nothing, as a share of the CPU time that the same thread
  /// spends on events, 0..1. 0: never poll, as `block`. Whatever the share, such polls take at most 5 % of a
  /// CPU.
  double idle_cpu_share = 0.1;
  /// Expected number of handles, 1..1000000: sizes the completion queue and the file table of the io_uring.
  /// More handles work, a little slower.
  std::uint32_t handles_expected = 1024;
  /// With `spin` and `yield`: number of handles that are always polled. Further quiet ones wait for a
  /// wake-up.
  std::uint32_t polled_handles_max = 64;
  /// Bytes of events that one handle may take in its turn while others wait, 4096..16777216: the quantum of
  /// the deficit round robin.
  std::uint32_t turn_bytes = 65536;
  /// Bytes of the queue for requests from other threads to each reactor, 64 KiB..1 GiB, a power of two. Full:
  /// errc::try_again.
  std::size_t intake_bytes = std::size_t{1} << 20;
  /// Handshakes in progress at the same time, 1..128 (a service's backlog is 128); shared among the reactors.
  std::uint32_t handshakes_max = 64;
  /// Loops with a thread each, 1..64. Handles are assigned to them in turn as they are opened. More than one
  /// is for more handles or events than one CPU can serve; such an engine is driven by start() or run() only,
  /// see engine.hpp.
  std::uint32_t reactors = 1;
  /// CPUs for the reactors' own threads, one each; reused from the beginning when there are more reactors.
  /// Empty: not pinned.
  std::vector<int> reactor_cpus;
  /// Threads that run the callbacks of handles, 0..64, shared by all reactors and started by the first call
  /// that drives the engine. 0: each handle's reactor runs them.
  std::uint32_t workers = 0;
  /// Messages in the queue from one reactor to one worker, 64..1048576, a power of two. Full: the handles
  /// that use this queue wait, others go on.
  std::uint32_t worker_queue = 4096;
  /// CPUs for the workers, one each; reused from the beginning when there are more workers. Empty: not
  /// pinned.
  std::vector<int> worker_cpus;
  /// How long the engine's destructor, and the connection of a closed handle, wait for the service to take
  /// what was multicast, 0..86400000 ms. 0: hang up at once.
  std::chrono::milliseconds close_deadline{2000};
  /// Called once when a service goes and once when it comes back, however many handles use it: gone with the
  /// first handle that the service hangs up on, back with the first handle that connects afterwards. May run
  /// before, between or after the callbacks of the handles. Runs as one event on the driving thread; with
  /// several reactors on that of the reactor that noticed.
  std::function<void(const service_change&)> on_service;
  /// Silent by default. See log_callback for the threads that call it. An exception that it throws is
  /// swallowed and counted in engine_stats::log_failures.
  log_callback log;
  /// The lowest level of lines that `log` gets.
  cpgring::log_level log_level = cpgring::log_level::debug;

  /// Errors: invalid_param (the text names the first option that is out of its range).
  [[nodiscard]] result<void> validate() const;
};

/// Behaviour of a handle when its service goes away or is not there yet.
struct supervision_options {
  /// True: connect again after a loss, and join the same group again. False: `lost` is the end of the handle.
  /// - The callbacks run in this order: events that the service had delivered, on_state(lost), on_restored
  ///   once the service answers, then the views and messages of the new membership, the own join first.
  ///   Messages of the time in between never arrive; handle that gap in callbacks::on_restored.
  /// - If the service is not there when the handle is opened, the handle waits for it in the same way, in
  ///   state `connecting`, without a callback.
  /// - A handle that has left a group may join a group again. It gets a new connection for that, because a
  ///   stock service never lets one connection join twice.
  /// - Permanent errors are not retried: errc::access, errc::version, an invalid name.
  /// - If the group refuses the handle (errc::exist: another handle of this process has joined), this counts
  ///   as a failed attempt; on_state reports each.
  bool reconnect = false;
  /// Wait before the first attempt; doubled for each further attempt, up to backoff_max. Each wait is
  /// shortened by up to half at random, so that a returning service does not meet all its clients at once.
  /// 1..3600000 ms.
  std::chrono::milliseconds backoff_min{20};
  std::chrono::milliseconds backoff_max{1000};
  /// Failed attempts in a row after which the handle is lost for good, with on_state(lost). 0: no limit.
  std::uint32_t attempts_max = 0;
  /// Bytes of multicasts that are kept while the handle is on its way into its group (the first time, too)
  /// and sent in order once it has joined; a confirmed multicast counts 128 more. So a program may multicast
  /// as soon as it has opened a handle, without waiting for on_state. Works without `reconnect` as well.
  /// - Above this limit: errc::try_again. 0: refused with errc::service_lost or errc::not_joined.
  /// - With `reconnect` and a limit above 0, multicasts that were accepted but not written when the service
  ///   was lost stay in the queue. A message in fragments starts again with its first fragment.
  /// - What was written before the loss and has not come back is never sent again: the service may have
  ///   ordered it.
  std::size_t queue_bytes = 0;
};

struct handle_options {
  /// Bytes of each of the three rings of a handle in /dev/shm, 16384..33554432. All three together take 3 MiB
  /// at 1 MiB, 0.24 MiB at 64 KiB.
  /// - Receiving: each message must fit into the ring in one piece, with 184 bytes beside it. AFTER AN EVENT
  ///   ABOVE THIS, A STOCK SERVICE NEVER SENDS TO THE CONNECTION AGAIN, WITHOUT AN ERROR. Keep 1 MiB unless
  ///   every sender of the group is known to stay below.
  /// - Sending: up to ring_bytes - 1024 bytes, and never more than 1047552, are one atomic message; larger
  ///   messages are sent in fragments.
  /// - Leases stay in the ring without a copy while half of it is free: of 1.5 million leases all did with 16
  ///   MiB, and a third with 1 MiB.
  std::uint32_t ring_bytes = std::uint32_t{1} << 20;
  /// Name of the service; "cpg" is corosync. A name without a leading '/' is an abstract unix socket of this
  /// network namespace, 1..100 bytes; with a leading '/' it is a path.
  std::string service = "cpg";
  /// A uid, as this process sees it, that may run the service besides uid 0 and this process's effective uid;
  /// any other uid is errc::access. The service sees and orders all multicasts: name only a user whom you
  /// trust with that. 65534 often stands for any user of another user namespace. 0..4294967294.
  std::optional<std::uint32_t> service_uid;
  /// Group to join as soon as the handle is ready, 1..128 bytes. Empty: join() does it.
  std::string group;
  /// Deadline of the handshake, from open() on, 0..86400000 ms. It holds even if the service is stopped.
  std::chrono::milliseconds connect_deadline{10000};
  /// Deadline of each join, leave and query, 0..86400000 ms. When it passes, the call fails with
  /// errc::timeout; the handle stays usable.
  std::chrono::milliseconds control_deadline{10000};
  /// Bytes of multicasts that wait until the service takes them: multicasts of other threads, and all of
  /// multicast_confirmed(). Above this: errc::try_again.
  std::size_t send_queue_bytes = std::size_t{4} << 20;
  /// Largest message, to send and to receive, 0..4294967295 bytes. Messages above the atomic limit are sent
  /// in fragments, and a join during that time can tear them (see docs/reliability.md). Unfinished messages
  /// of all senders take at most twice as many bytes, and there are at most large_messages_open_max. Above
  /// either limit one message is given up, with callbacks::on_aborted and errc::no_memory: one whose sender
  /// sent none of the last 1024 fragments, else the newest.
  std::size_t large_message_max = std::size_t{64} << 20;
  /// Share of the engine's turns, 1..1000: with weight 2 a handle gets twice the bytes of weight 1 while both
  /// have more than their share.
  std::uint32_t weight = 1;
  /// True: consecutive views are delivered as one, as long as their changes wait in the ring with no message
  /// in between (a node that goes with its processes, a cluster that heals). The own join and leave are never
  /// merged away. See view::changes.
  bool coalesce_views = false;
  /// With engine_options::workers: which worker runs the callback of a message.
  ordering order = ordering::by_handle;
  /// With ordering::by_key: the key of a message. Runs on the driving thread for each message, so it must be
  /// fast. If it throws, the handle is closed with errc::callback_threw.
  std::function<std::uint64_t(const message&)> key;
  /// With engine_options::workers: what to do when the callbacks of this handle fall behind.
  overload when_overloaded = overload::copy_out;
  /// Bytes of memory for messages that are copied out under overload::copy_out, 0..1 TiB.
  std::size_t copy_out_bytes_max = std::size_t{8} << 20;
  /// Bytes, plus 128 for each message, that leases of message::retain() may hold at a time, in the ring or
  /// copied. Above this: errc::overloaded.
  std::size_t retained_bytes_max = std::size_t{16} << 20;
  /// A lease older than this is copied out of the ring, so that the ring can be reused. 0..3600000 ms.
  std::chrono::milliseconds lease_age_max{100};
  /// Touch the pages of the rings when connecting: the first messages cause no page faults, and a full
  /// /dev/shm is an error instead of a later SIGBUS.
  bool prefault = true;
  supervision_options supervision;
  detail::simulation simulation;  ///< set by <cpgring/testing.hpp> only

  /// Errors: invalid_param, name_too_long (the text names the first option that is out of its range).
  [[nodiscard]] result<void> validate() const;
};

/// The smallest and the largest ring_bytes, and the largest payload of one atomic message on any handle.
inline constexpr std::uint32_t ring_bytes_min = 16384;
inline constexpr std::uint32_t ring_bytes_max = std::uint32_t{32} << 20;
inline constexpr std::uint32_t atomic_message_max = 1047552;
/// Unfinished messages above the atomic limit that one handle keeps at a time, each of another sender.
inline constexpr std::size_t large_messages_open_max = 256;
/// Longest group name in bytes.
inline constexpr std::size_t group_name_max = 128;

}  // namespace cpgring

#endif
