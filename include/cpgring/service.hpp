// The embedded CPG service: does the work of corosync's CPG service for one node, inside this process or as
// `cpgring serve`.
//
// - One node, one total order over all groups, no network. For several nodes use corosync.
// - The service speaks libqb's IPC: cpgring handles and unmodified libcpg programs (under the name "cpg", in
//   a network namespace without corosync) connect to it.
// - Link cpgring::service.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <cpgring/log.hpp>
#include <cpgring/result.hpp>
#include <cpgring/service_interceptor.hpp>

namespace cpgring {

/// How the service treats a member whose unread events have reached `member_backlog_bytes_max`.
enum class slow_member_policy {
  disconnect,  ///< end its connection; the others see it leave with reason process_down (default)
  block,  ///< take no multicasts from any client until it has read: memory stays bounded, all clients wait
};

struct embedded_service_options {
  /// Name of the abstract unix socket, 1..100 bytes without '/' and NUL. Empty: a unique name
  /// "cpgring-PID-N"; see embedded_service::name(). Under the name "cpg" the service also answers
  /// corosync-cpgtool, which uses the service "cfg".
  std::string name;
  /// The node id that members see; not 0.
  std::uint32_t node_id = 1;
  /// Bytes of events kept for one member that does not read, in addition to its ring. 0: none.
  std::size_t member_backlog_bytes_max = std::size_t{64} << 20;
  slow_member_policy slow_member = slow_member_policy::disconnect;
  /// Clients are processes of root and of the user that runs the service. With this option, processes in this
  /// group as well; the service's user must be a member of it. CLIENTS ARE TRUSTED: client and service share
  /// memory, so a client can do everything that the service can do. So a service whose effective user is root
  /// refuses this option, unless `user` names another user.
  std::optional<std::uint32_t> allow_gid;
  /// Restricts `allow_gid` to processes of these users. Empty: no restriction.
  std::vector<std::uint32_t> allow_uid;
  /// For a process whose effective user is root: once the name is bound, the WHOLE PROCESS becomes this user
  /// for good, with the ids and groups of the user database and without capabilities. Empty: no change.
  std::string user;
  /// For tests: called before and after actions of the service; see <cpgring/testing.hpp>. Kept as long as
  /// the service lives. May be null.
  std::shared_ptr<service_interceptor> interceptor;
  /// Gets lines about refusals, disconnected members, start and stop, and lines of the interceptor. Of lines
  /// that clients can cause any number of times the first is logged at once, further ones are summed up every
  /// 10 s. Called on the service's thread. An exception that it throws is swallowed and counted in
  /// embedded_service_stats::log_failures.
  log_callback log;
};

/// Counters since the start. Any thread. Each value is exact, but the values are not read at one moment.
struct embedded_service_stats {
  std::uint64_t connections = 0;           ///< open now
  std::uint64_t connections_total = 0;     ///< accepted since the start
  std::uint64_t requests = 0;              ///< requests handled
  std::uint64_t multicasts = 0;            ///< messages ordered
  std::uint64_t events = 0;                ///< events sent to members (one message to k members counts k)
  std::uint64_t events_queued = 0;         ///< events that waited because a ring was full
  std::uint64_t backlog_bytes = 0;         ///< bytes of events that wait now outside of rings
  std::uint64_t members_disconnected = 0;  ///< connections ended by slow_member_policy::disconnect
  std::uint64_t requests_refused = 0;      ///< malformed requests, and requests not allowed in their state
  std::uint64_t log_failures = 0;          ///< lines whose log callback threw
};

/// A running service, on one thread of its own named "cpgring-service". Any thread may call name(), stats(),
/// thread_cpu_time() and stop(); construct, move and destroy it on one thread.
class embedded_service {
 public:
  /// Binds the name and starts the thread. Blocks until clients can connect. Errors: exist (the name is
  /// taken), invalid_param (an option out of its range, or rules that allow no client), name_not_found or
  /// access (embedded_service_options::user), the error of the interceptor, or an errno.
  [[nodiscard]] static result<embedded_service> create(embedded_service_options options = {});
  /// As create(), but throws std::system_error with the code and text of its error.
  explicit embedded_service(embedded_service_options options = {});
  /// As stop(). In a child process (after fork) it leaves the parent's service alone: fork() itself closed
  /// the child's copies of the sockets, so the child holds neither its clients nor its name.
  ~embedded_service();
  /// A move does not affect clients or the thread. A moved-from service may only be destroyed or assigned to.
  /// The previous service of the assigned object is stopped.
  embedded_service(embedded_service&& other) noexcept;
  embedded_service& operator=(embedded_service&& other) noexcept;

  /// The name for handle_options::service.
  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] embedded_service_stats stats() const noexcept;
  /// CPU time used by the service's thread, for example to subtract it from the CPU time of the process.
  [[nodiscard]] std::chrono::nanoseconds thread_cpu_time() const noexcept;
  /// Hangs up on all clients, removes their shared memory and ends the thread. Blocks until that is done
  /// (milliseconds). Later calls do nothing.
  void stop() noexcept;

 private:
  struct impl;
  explicit embedded_service(std::unique_ptr<impl> made) noexcept;
  std::unique_ptr<impl> impl_;
};

}  // namespace cpgring

#endif
