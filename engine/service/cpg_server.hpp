// The CPG service on libqb's server: requests in, one total order (that of handling them, in one thread), events out.
//
// One thread, that of the event loop. What clients write is foreign: each request is checked against its size, a bad one is answered with
// an error where it has an answer, else its client is disconnected; nobody else notices.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <sys/uio.h>

#include <cpgring/service.hpp>

#include "base/counter.hpp"
#include "service/bad_side.hpp"
#include "service/client_gate.hpp"
#include "service/event_loop.hpp"
#include "service/events.hpp"
#include "service/groups.hpp"
#include "service/member.hpp"
#include "service/request_budget.hpp"
#include "service/service_log.hpp"

namespace cpgring::service {

struct server_counters {
  base::counter connections, connections_total, requests, multicasts, events, events_queued, backlog_bytes, members_disconnected,
      requests_refused;
  std::array<base::counter, fault_kinds> injected;
};

class cpg_server {
 public:
  cpg_server(const embedded_service_options& options, std::string name, event_loop& loop, service_log& log, server_counters& counters);
  ~cpg_server();
  cpg_server(const cpg_server&) = delete;
  cpg_server& operator=(const cpg_server&) = delete;

  /// Binds the name; on the loop's thread. Nobody is let in before open_to(). Errors: exist, or an errno.
  result<void> listen();
  /// From here on clients come in by `gate`, which outlives the loop's run.
  void open_to(client_gate& gate) noexcept { gate_ = &gate; }
  /// Commits these faults from now on, and ends what comes of earlier ones; on the loop's thread.
  void inject(const service_faults& faults);
  /// Hangs up on everybody, removes their files.
  void close();

 private:
  struct iteration {
    const member* owner;
    std::size_t next = 0;
    std::vector<std::pair<std::string, address>> rows;  // pid 0: the group's name alone
  };
  using bytes = std::span<const std::byte>;

  static std::int32_t on_accept(qb_ipcs_connection_t* c, uid_t uid, gid_t gid);
  static void on_created(qb_ipcs_connection_t* c);
  static std::int32_t on_message(qb_ipcs_connection_t* c, void* data, std::size_t size);
  static std::int32_t on_closed(qb_ipcs_connection_t* c);
  static void on_destroyed(qb_ipcs_connection_t* c);
  static cpg_server& of(qb_ipcs_connection_t* c);

  void handle(member& from, bytes request);
  void join(member& from, bytes request);
  void leave(member& from, bytes request);
  void multicast(member& from, bytes request);
  void partial_multicast(member& from, bytes request);
  void membership(member& from, bytes request);
  void local_get(member& from);
  void iteration_initialize(member& from, bytes request);
  void iteration_next(member& from, bytes request);
  void iteration_finalize(member& from, bytes request);
  void zero_copy_alloc(member& from, bytes request);
  void zero_copy_free(member& from, bytes request);
  void zero_copy_execute(member& from, bytes request);

  void answer(member& to, wire::response id, std::int32_t error);
  void respond(member& to, bytes response);
  void refuse(member& from, std::string_view field, std::uint64_t value, std::uint64_t allowed);
  void deliver(member& from, bytes payload);
  void tell_group(groups<member>::group& g, addresses joined, addresses left, member* also = nullptr);
  void tell_ring(member& to);
  std::vector<address> members_of(const groups<member>::group& g) const;
  void depart(member& who, wire::reason why);
  void forget_if_empty(groups<member>::group& g);
  void send(member& to, const iovec* parts, std::size_t count, std::size_t total);
  void send_as_is(member& to, const iovec* parts, std::size_t count, std::size_t total);
  ssize_t push(member& to, const iovec* parts, std::size_t count);
  bool may_push(member& to);
  void flush_backlog(member& of);
  void flush_all();
  void keep_flushing();
  void throttle();
  void apply_rate();
  void doom(member& who, std::string_view why);
  void bury();
  static bool name_at(bytes request, std::size_t at, std::string_view& out);

  // Faults on purpose; only called while bad_ is there. In committed_faults.cpp.
  std::optional<draws> strikes(fault kind, member& client);
  void committed(fault kind, const member& client, std::string_view what);
  bool refused_on_purpose(member& from, bytes request);
  void after_request(member& from);
  void hang_up_in_fragment(member& from);
  void move_crowd(groups<member>::group& g, draws choice);
  void show_crowd(groups<member>::group& g, const crowds::move& m);
  void send_badly(member& to, const iovec* parts, std::size_t count, std::size_t total);
  void hold_doorbell(member& of, draws choice);
  void release_doorbell(member& of);
  void stand_still();

  const embedded_service_options& options_;
  const std::string name_;
  event_loop& loop_;
  service_log& log_;
  server_counters& counters_;
  client_gate* gate_ = nullptr;
  request_budget budget_;
  qb_ipcs_service_t* service_ = nullptr;
  std::unordered_map<qb_ipcs_connection_t*, std::unique_ptr<member>> members_;
  groups<member> groups_;
  std::unordered_map<std::uint64_t, iteration> iterations_;
  std::unique_ptr<bad_side> bad_;  // null: no faults on purpose
  std::uint64_t ring_sequence_ = 1;
  std::vector<member*> waiting_;  // have a backlog
  std::vector<qb_ipcs_connection_t*> doomed_;
  std::uint64_t next_token_ = 1;
  base::nanoseconds flush_pause_{0};
  bool flushing_ = false;
  bool throttled_ = false;
  bool standing_ = false;
  bool closing_ = false;
};

}  // namespace cpgring::service
