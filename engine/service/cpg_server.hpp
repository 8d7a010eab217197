// The CPG service on top of libqb's server. One thread handles all requests, and the order in which it
// handles them is the total order of all events.
//
// Loop thread only. Client input is untrusted: each request is checked against its size. A request of a wrong
// size, or a bad multicast (which has no answer), disconnects its client; any other bad request is answered.
// Other clients are not affected. Parts: cpg_server.cpp (libqb's callbacks, answers, disconnecting),
// cpg_requests.cpp, iterations.cpp, zero_copy.cpp, send_events.cpp (events, backlogs, flow control),
// intercepted.cpp.
#pragma once

#include <chrono>
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
#include "service/client_gate.hpp"
#include "service/event_loop.hpp"
#include "service/events.hpp"
#include "service/groups.hpp"
#include "service/late_doorbell.hpp"
#include "service/member.hpp"
#include "service/request_budget.hpp"
#include "service/service_log.hpp"

namespace cpgring::service {

struct server_counters {
  base::counter connections, connections_total, requests, multicasts, events, events_queued, backlog_bytes,
      members_disconnected, requests_refused;
};

class cpg_server {
 public:
  cpg_server(const embedded_service_options& options, std::string name, event_loop& loop, service_log& log,
             server_counters& counters);
  ~cpg_server();
  cpg_server(const cpg_server&) = delete;
  cpg_server& operator=(const cpg_server&) = delete;

  /// Binds the name. Clients are rejected until open_to(). Errors: exist, or an errno.
  result<void> listen();
  /// Admits clients through `gate` from now on. `gate` must outlive the loop's run.
  void open_to(client_gate& gate) noexcept { gate_ = &gate; }
  /// Sets the interceptor; null: none. It must outlive the loop's run.
  void set_interceptor(service_interceptor* who) noexcept { interceptor_ = who; }
  /// Disconnects all clients and removes their files.
  void close();

  // Commands of an interceptor; see service_controls. Implemented in intercepted.cpp.
  [[nodiscard]] std::uint32_t node_id() const noexcept { return options_.node_id; }
  [[nodiscard]] std::vector<std::uint64_t> clients_of(std::string_view group);
  void hang_up(std::uint64_t client, std::string_view why);
  void pause(std::chrono::milliseconds how_long);
  void release_doorbells();
  void show_view(std::string_view group, std::span<const simulated_member> joined,
                 std::span<const simulated_member> left);
  void show_ring();
  /// Disconnects all clients that disconnect() has marked. Not to be called during a request.
  void disconnect_marked();

 private:
  struct iteration {
    const member* owner;
    std::size_t next = 0;
    std::vector<std::pair<std::string, address>> rows;  // pid 0: the row is the name of a group only
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
  void send_view(groups<member>::group& g, addresses joined, addresses left, member* also = nullptr);
  void send_ring(member& to);
  std::vector<address> members_of(const groups<member>::group& g);
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
  /// Marks `who`: it gets no further event, and is disconnected after the current request.
  void disconnect(member& who, std::string_view why);
  static bool name_at(bytes request, std::size_t at, std::string_view& out);

  // Called only if there is an interceptor. Implemented in intercepted.cpp.
  void handle_intercepted(member& from, bytes request);
  void add_made_up(const std::string& group, std::vector<address>& members);
  void add_made_up(std::vector<std::uint32_t>& nodes);
  void send_intercepted(member& to, const iovec* parts, std::size_t count, std::size_t total);
  void hold_doorbell(member& of, std::chrono::milliseconds late);
  void release_doorbell(member& of);

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
  service_interceptor* interceptor_ = nullptr;
  // Stands in for the socket of a client whose doorbell is held back, during a send to it.
  std::optional<full_socket> full_;
  // The current request multicast a fragment that is not the last of its message.
  bool fragment_passed_on_ = false;
  std::uint64_t ring_sequence_ = 1;
  std::vector<member*> waiting_;  // members with a backlog
  std::vector<qb_ipcs_connection_t*> to_disconnect_;
  std::uint64_t next_token_ = 1;
  base::nanoseconds flush_pause_{0};
  bool flushing_ = false;
  bool throttled_ = false;
  bool standing_ = false;
  bool closing_ = false;
};

}  // namespace cpgring::service
