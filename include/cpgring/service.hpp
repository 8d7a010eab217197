// The embedded CPG service: what corosync's CPG service is to one node, inside this process or run by `cpgring serve`.
//
// One node, one total order over all groups. It speaks libqb's IPC, so cpgring handles and unmodified libcpg programs
// (under the name "cpg", in a network namespace without corosync) both work on it. It has no network: whoever needs several nodes runs
// corosync.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <cpgring/error.hpp>
#include <cpgring/log.hpp>
#include <cpgring/service_faults.hpp>

namespace cpgring {

/// What the service does with a member whose unread events have reached `member_backlog_bytes_max`.
enum class slow_member_policy {
  disconnect,  ///< end that connection; the others see it leave with reason process_down (default)
  block,       ///< take no more multicasts from anybody until it has read: memory stays bounded, everybody waits for it
};

struct embedded_service_options {
  /// Name of the abstract unix socket, 1..100 bytes. Empty: a name of its own is made ("cpgring-PID-N"); see service name(). Under the name
  /// "cpg" corosync's own tools are served too: what corosync-cpgtool asks the service "cfg" is answered beside it.
  std::string name;
  /// The node id that members see; not 0.
  std::uint32_t node_id = 1;
  /// Bytes of events kept for one member that does not read, beyond its ring. 0: nothing beyond the ring.
  std::size_t member_backlog_bytes_max = std::size_t{64} << 20;
  slow_member_policy slow_member = slow_member_policy::disconnect;
  /// Clients are processes of root and of the user that runs the service, and with this also processes in this group, which that user must
  /// be in. WHOEVER IS LET IN IS TRUSTED: client and service share memory, so a client can do whatever the service can do. Therefore a
  /// service whose effective user is root refuses this option, unless `user` makes it another.
  std::optional<std::uint32_t> allow_gid;
  /// Of the processes in that group, only those of these users. Empty: all of them.
  std::vector<std::uint32_t> allow_uid;
  /// For a process whose effective user is root: once the name is bound, the WHOLE PROCESS becomes this user for good, with the ids and
  /// groups that the system's user database gives it, and without capabilities. Empty: it stays what it is.
  std::string user;
  /// What it does wrong on purpose from the start on; see also inject().
  service_faults faults;
  /// Gets lines about refusals, disconnected members, start and stop; at level debug for each injected fault. Of what clients can cause any
  /// number of times, the first is told at once, further ones are summed up every 10 s. On the service's thread. An exception that it
  /// throws is swallowed and counted in embedded_service_stats::log_failures.
  log_callback log;
};

/// Counters since start. Read from any thread; each is exact, together they are not a snapshot.
struct embedded_service_stats {
  std::uint64_t connections = 0;           ///< now open
  std::uint64_t connections_total = 0;     ///< ever accepted
  std::uint64_t requests = 0;              ///< requests handled
  std::uint64_t multicasts = 0;            ///< messages put in order
  std::uint64_t events = 0;                ///< events handed to members (one message to k members counts k)
  std::uint64_t events_queued = 0;         ///< of these, how many had to wait outside a full ring
  std::uint64_t backlog_bytes = 0;         ///< held now outside rings
  std::uint64_t members_disconnected = 0;  ///< ended by slow_member_policy::disconnect
  std::uint64_t requests_refused = 0;      ///< malformed or out-of-state requests
  std::uint64_t log_failures = 0;          ///< lines whose log callback threw
  injected_faults injected;                ///< what it did wrong on purpose
};

/// Runs from construction to destruction on one thread of its own, named "cpgring-service".
/// Thread-safe: name(), stats(), thread_cpu_time(), inject(), stop(). Construction and destruction: one thread.
class embedded_service {
 public:
  /// Binds the name and starts the thread; when it returns, clients can connect.
  /// Throws std::system_error: errc::exist when the name is taken, errc::invalid_param (an option out of its range, or rules that can let
  /// nobody in), errc::name_not_found or errc::access for options.user, or an errno; what() says what was wrong and what to do.
  explicit embedded_service(embedded_service_options options = {});
  /// Stops (see stop()) and joins the thread. In a child process (fork) it leaves the parent's service as it is; the child's copies of the
  /// service's sockets are closed by fork() itself, so that the child holds neither its clients nor its name.
  ~embedded_service();
  embedded_service(const embedded_service&) = delete;
  embedded_service& operator=(const embedded_service&) = delete;

  /// The name to give to handle_options::service.
  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] embedded_service_stats stats() const noexcept;
  /// CPU time that the service's thread has used; to take it out of the process's own.
  [[nodiscard]] std::chrono::nanoseconds thread_cpu_time() const noexcept;
  /// From now on the service commits these faults instead of earlier ones; a plain service_faults{} ends them all: doorbells that were held
  /// back are rung, storms and stalls end, the crowd goes away. All counts (fault_rate::after, at_most) begin anew. Returns when it is so;
  /// called from options.log, at once, and it is so behind the present request. Errors: invalid_param (the text names the field), stopped,
  /// forked.
  result<void> inject(service_faults faults);
  /// Hangs up on all clients, removes their shared memory, ends the thread. Returns when that is done (milliseconds). Later calls do
  /// nothing.
  void stop() noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace cpgring
