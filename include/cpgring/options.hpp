// All options of engine and handle: plain structs, defaults as initialisers, one validate() each.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <cpgring/error.hpp>
#include <cpgring/log.hpp>

namespace cpgring {

class message;

/// How a reactor learns that an event arrived. Leave it on `automatic`: the best that works here is found at start, with a real event.
/// Where io_uring is refused later (a seccomp filter that is loaded then), `automatic` goes on with epoll; a forced backend ends what
/// drives the engine with errc::unsupported_kernel.
enum class wakeup {
  automatic,
  futex,   ///< io_uring waits on the event ring's semaphore; the socket is read once in 8192 events (Linux 6.7+, glibc's 64-bit sem_t)
  socket,  ///< io_uring receives the doorbell bytes (Linux 6.0+)
  epoll,   ///< no io_uring; chosen automatically only where io_uring is refused
};
std::string_view to_string(wakeup backend) noexcept;

/// What a reactor, or a worker, does when nothing waits.
enum class idle {
  block,     ///< sleep at once: least CPU
  adaptive,  ///< look a little longer, as long as that has paid off lately, then sleep (default)
  spin,      ///< never sleep: lowest latency, one CPU gone. Pointless on a machine with fewer CPUs than busy threads
  yield,     ///< never sleep, give the CPU to whoever wants it between looks
};
std::string_view to_string(idle strategy) noexcept;

/// Which worker runs a message's callback, and so what stays in order. Views, changes of state and other notices are fences under each of
/// these: they run alone, after everything of their handle that came before and ahead of everything behind.
enum class ordering {
  by_handle,  ///< one worker for the handle: total order, as CPG gives it (default)
  by_sender,  ///< each sender's messages in order, different senders in parallel
  by_key,     ///< messages of one handle_options::key in order, different keys in parallel
  unordered,  ///< whichever worker has room
};
std::string_view to_string(ordering policy) noexcept;

/// With workers: what becomes of a handle whose callbacks fall behind so far that its ring is three quarters full, and was more than half
/// full for some milliseconds. Others do not notice.
enum class overload {
  hold,        ///< nothing: the ring fills up, and then the service has to queue or to slow its senders down
  copy_out,    ///< what waits is copied out of the ring, up to handle_options::copy_out_bytes_max; then as hold (default)
  disconnect,  ///< the handle is closed with errc::overloaded
};
std::string_view to_string(overload policy) noexcept;

struct engine_options {
  /// Forced backends fail with errc::unsupported_kernel where they cannot work.
  wakeup wakeup_backend = wakeup::automatic;
  idle idle_strategy = idle::adaptive;
  /// Handles to be expected, 1..1000000: sizes the io_uring (completion queue, file table). More work too, a little slower.
  std::uint32_t handles_expected = 1024;
  /// Handles that stay polled for good with `spin` and `yield`; the others sleep armed and wake into polling.
  std::uint32_t polled_handles_max = 64;
  /// Bytes of events that one handle may take in its turn while others wait, 4096..16777216: the quantum of the deficit round robin.
  std::uint32_t turn_bytes = 65536;
  /// Room for requests from other threads on their way to each reactor, 64 KiB..1 GiB, a power of two. Full: errc::try_again.
  std::size_t intake_bytes = std::size_t{1} << 20;
  /// Handshakes under way at once, 1..128 (a service's backlog is 128).
  std::uint32_t handshakes_max = 64;
  /// Loops with a thread each, 1..64, among which handles are dealt out in turn as they are opened. More than one: for more handles or
  /// events than one CPU can look after. Such an engine is driven by start() or run() alone; see engine.hpp.
  std::uint32_t reactors = 1;
  /// CPUs to pin the reactors' own threads to, one each, over again when there are more reactors. Empty: not pinned.
  std::vector<int> reactor_cpus;
  /// Threads that run the callbacks of handles, 0..64, started with the engine's first call that drives it, shared by all reactors. 0: each
  /// handle's reactor runs them.
  std::uint32_t workers = 0;
  /// Messages on their way from one reactor to one worker, 64..1048576, a power of two. Full: the handles that feed it wait, others go on.
  std::uint32_t worker_queue = 4096;
  /// CPUs to pin the workers to, one each, over again when there are more workers. Empty: not pinned.
  std::vector<int> worker_cpus;
  /// How long the destructor waits for the service to take what was multicast, per engine, 0..86400000. 0: hang up at once.
  std::chrono::milliseconds close_deadline{2000};
  /// Silent by default. Called on the reactor's thread (of each of several, at the same time if need be), and by open() and stop() on
  /// theirs. An exception that it throws is swallowed and counted in engine_stats::log_failures.
  log_callback log;
  /// The least level of lines that `log` gets.
  cpgring::log_level log_level = cpgring::log_level::debug;

  /// Names the first option that is out of its range.
  [[nodiscard]] result<void> validate() const;
};

/// What a handle does when its service goes away, or is not there yet.
struct supervision_options {
  /// Connect again, and join again the group that the handle was in. Whoever listens hears, in this order: what the service had delivered
  /// before it went, on_state(lost), on_restored once the service answers again, and then the views and messages of the new membership, the
  /// own join first. Nothing that was multicast in between reaches this handle; callbacks::on_restored is where a gap is dealt with.
  /// A service that is not there when the handle is opened is waited for in the same way, in state connecting, without a callback.
  /// A handle that has left a group may then join another (or the same): on a connection of its own, because a stock service never lets one
  /// connection join twice. Not tried again: what no waiting mends (errc::access, errc::version, a wrong name).
  /// A group that refuses to have the handle back (errc::exist: another handle of this process was quicker) is one more attempt that
  /// failed; on_state tells of each. Off: lost is the end of a handle.
  bool reconnect = false;
  /// The first attempt comes after about this long, each further one after twice as long, up to backoff_max. Each wait is shortened by up
  /// to half at random, so that a service that comes back does not meet all its clients at once. 1..3600000.
  std::chrono::milliseconds backoff_min{20};
  std::chrono::milliseconds backoff_max{1000};
  /// Attempts in a row that may fail; then the handle is lost for good, with on_state(lost). 0: any number.
  std::uint32_t attempts_max = 0;
  /// Payload bytes of multicasts that are kept while the handle is on its way into its group, and sent in their order once it is there.
  /// Above, errc::try_again. 0: they are refused, with errc::service_lost or errc::not_joined. What was accepted before the loss and has
  /// not come back is neither sent again nor reported: the service may have ordered it.
  std::size_t queue_bytes = 0;
};

struct handle_options {
  /// Largest message, 16384..33554432 bytes, that can ARRIVE on this handle in one piece, plus 184: AN EVENT ABOVE IT WEDGES THE CONNECTION
  /// INSIDE A STOCK SERVICE WITHOUT A WORD. Keep 1 MiB unless every sender of the group is known to stay below.
  /// Three rings of this size are in /dev/shm for each handle: 3 MiB at 1 MiB, 0.24 MiB at 64 KiB.
  /// What is sent: up to max_message_size - 1024 bytes in one atomic message, never more than 1047552; above it as fragments.
  std::uint32_t max_message_size = std::uint32_t{1} << 20;
  /// "cpg" is corosync. A name without '/' is an abstract unix socket of this network namespace; with a leading '/' a path.
  std::string service = "cpg";
  /// The uid, as this process sees it, that may run the service beside uid 0 and this process's effective uid; any other is errc::access. A
  /// service sees and orders all that is multicast: name only a user whom you trust with that. 65534 often is any user of another user
  /// namespace. 0..4294967294.
  std::optional<std::uint32_t> service_uid;
  /// Join this group as soon as the handle is ready; empty: join() does it. 1..128 bytes.
  std::string group;
  /// For the handshake, from open() on, 0..86400000. A stopped service cannot make it last longer.
  std::chrono::milliseconds connect_deadline{10000};
  /// For each join, leave, query, 0..86400000. Passing it fails the call with errc::timeout; the handle lives on.
  std::chrono::milliseconds control_deadline{10000};
  /// Bytes of multicasts from other threads kept while the service does not take them, and of multicast_confirmed() under way. Above:
  /// errc::try_again.
  std::size_t send_queue_bytes = std::size_t{4} << 20;
  /// Messages above the atomic limit travel as fragments; a join meanwhile can tear them (see docs). Limit for sending and for assembling,
  /// per sender. What all senders together have unfinished is at most twice as many bytes, and large_messages_open_max messages; beyond
  /// either, one is given up, with callbacks::on_aborted and errc::no_memory: one whose sender has stood still for 1024 fragments of
  /// others, else the one that comes.
  std::size_t large_message_max = std::size_t{64} << 20;
  /// Share of the engine's turns, 1..1000: weight 2 gets twice the bytes of weight 1 when both have more than fits.
  std::uint32_t weight = 1;
  /// A cascade of views (a node that goes takes its processes along, a cluster that heals) is handed out as one, as far as its changes wait
  /// one behind the other in the ring with no message between. Own coming and going is never merged away. See view::changes.
  bool coalesce_views = false;
  /// With engine_options::workers: which of them runs a message.
  ordering order = ordering::by_handle;
  /// With ordering::by_key: the key of a message. Runs on the driving thread for each message, so it is to be quick; must not throw.
  std::function<std::uint64_t(const message&)> key;
  /// What to do when the callbacks of this handle fall behind.
  overload when_overloaded = overload::copy_out;
  /// Memory for messages copied out under overload::copy_out.
  std::size_t copy_out_bytes_max = std::size_t{8} << 20;
  /// Bytes (and 128 for each message) that leases taken with message::retain() may hold at a time, in the ring or copied. Above:
  /// errc::overloaded.
  std::size_t retained_bytes_max = std::size_t{16} << 20;
  /// A lease older than this is copied out of the ring, so that the ring moves on. 0..3600000.
  std::chrono::milliseconds lease_age_max{100};
  /// The process id that members see; 0: our own. Another number lets one process be in a group several times: for simulations only.
  std::uint32_t pid = 0;
  /// Touch the rings' pages at open, so that no page fault hits the first lap and a full /dev/shm is an error now instead of SIGBUS later.
  bool prefault = true;
  supervision_options supervision;

  /// Names the first option that is out of its range.
  [[nodiscard]] result<void> validate() const;
};

/// The smallest and largest max_message_size, and the largest payload of one atomic message on any handle.
inline constexpr std::uint32_t max_message_size_min = 16384;
inline constexpr std::uint32_t max_message_size_max = std::uint32_t{32} << 20;
inline constexpr std::uint32_t atomic_message_max = 1047552;
/// Messages above the atomic limit that one handle keeps unfinished at a time, each of another sender.
inline constexpr std::size_t large_messages_open_max = 256;
/// Longest group name in bytes.
inline constexpr std::size_t group_name_max = 128;

}  // namespace cpgring
