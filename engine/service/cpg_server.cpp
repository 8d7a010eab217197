#include "service/cpg_server.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "base/checked_read.hpp"

namespace cpgring::service {
namespace {

// libqb tells nobody when a client has read: rings that were full are tried again in growing steps, and at each request of the client.
constexpr base::nanoseconds flush_pause_min{1000000}, flush_pause_max{20000000};

// For how long a client may leave its socket unread once no further event can be sent to it.
constexpr std::chrono::seconds unread_patience{5};

// Of one client. Each holds a copy of all groups' members.
constexpr std::uint32_t iterations_max = 64;

std::uint32_t u32(std::span<const std::byte> request, std::size_t at) noexcept { return base::read_once_u32(request.data() + at); }

}  // namespace

cpg_server::cpg_server(const embedded_service_options& options, std::string name, event_loop& loop, service_log& log,
                       server_counters& counters)
    : options_(options), name_(std::move(name)), loop_(loop), log_(log), counters_(counters), budget_(loop) {}

cpg_server::~cpg_server() { close(); }

// --- libqb's side -------------------------------------------------------------------------------------------------------------

result<void> cpg_server::listen() {
  qb_ipcs_service_handlers handlers{&on_accept, &on_created, &on_message, &on_closed, &on_destroyed};
  service_ = ::qb_ipcs_create(name_.c_str(), 0, QB_IPC_SHM, &handlers);
  if (service_ == nullptr) {
    return fail_errno(errno, fmt::format("creating service '{}'", name_));
  }
  auto poll = event_loop::handlers();
  ::qb_ipcs_poll_handlers_set(service_, &poll);
  ::qb_ipcs_service_context_set(service_, this);
  if (const std::int32_t code = ::qb_ipcs_run(service_); code != 0) {
    service_ = nullptr;  // libqb has destroyed it
    if (code == -EADDRINUSE) {
      return fail(errc::exist, fmt::format("the service name '{}' is taken in this network namespace; is corosync running?", name_));
    }
    return fail_errno(-code, fmt::format("listening under the service name '{}'", name_));
  }
  ::qb_ipcs_request_rate_limit(service_, QB_IPCS_RATE_FAST);
  return {};
}

void cpg_server::close() {
  if (service_ == nullptr) {
    return;
  }
  closing_ = true;
  ::qb_ipcs_destroy(std::exchange(service_, nullptr));
  loop_.run_jobs();  // libqb puts the end of connections off into jobs
  members_.clear();
}

cpg_server& cpg_server::of(qb_ipcs_connection_t* c) { return *static_cast<cpg_server*>(::qb_ipcs_connection_service_context_get(c)); }

std::int32_t cpg_server::on_accept(qb_ipcs_connection_t* c, uid_t uid, gid_t gid) {
  auto& self = of(c);
  if (self.closing_) {
    return -ECONNREFUSED;
  }
  if (self.gate_ == nullptr) {
    return -EAGAIN;
  }
  if (const std::int32_t code = self.gate_->admit(c, uid, gid); code != 0) {
    self.counters_.requests_refused.add();
    return code;
  }
  auto made = std::make_unique<member>();
  made->connection = c;
  made->uid = uid;
  ::qb_ipcs_context_set(c, made.get());
  self.members_.emplace(c, std::move(made));
  return 0;
}

void cpg_server::on_created(qb_ipcs_connection_t* c) {
  auto& self = of(c);
  auto& m = *static_cast<member*>(::qb_ipcs_context_get(c));
  const std::int32_t size = ::qb_ipcs_connection_get_buffer_size(c);
  m.event_max = size > 0 ? static_cast<std::uint32_t>(size) : 0;
  m.doorbells = owed_doorbells(m.event_max);
  self.counters_.connections.add();
  self.counters_.connections_total.add();
  m.occasions.client = self.counters_.connections_total.get();
}

std::int32_t cpg_server::on_message(qb_ipcs_connection_t* c, void* data, std::size_t size) {
  auto& self = of(c);
  auto* m = static_cast<member*>(::qb_ipcs_context_get(c));
  if (m == nullptr || m->doomed) {
    return self.budget_.spend();
  }
  self.counters_.requests.add();
  // `size` is what the client's header says. Up to the ring's size it lies in the client's own ring, whatever it really wrote there.
  if (size < wire::request_header_bytes || size > m->event_max) {
    self.refuse(*m, "size of a request", size, m->event_max);
  } else if (const bytes request(static_cast<const std::byte*>(data), size); self.bad_ == nullptr) [[likely]] {
    self.handle(*m, request);
  } else {
    if (!self.refused_on_purpose(*m, request)) {
      self.handle(*m, request);
    }
    self.after_request(*m);
  }
  if (!m->backlog.empty()) {
    self.flush_backlog(*m);
  }
  return self.budget_.spend();
}

std::int32_t cpg_server::on_closed(qb_ipcs_connection_t* c) {
  auto& self = of(c);
  auto* m = static_cast<member*>(::qb_ipcs_context_get(c));
  if (m == nullptr) {
    return 0;
  }
  m->finalized = true;
  m->held_socket = -1;
  std::erase(self.waiting_, m);
  std::erase(self.doomed_, c);
  self.counters_.backlog_bytes.set(self.counters_.backlog_bytes.get() - m->backlog_bytes);
  m->backlog_bytes = 0;
  m->backlog.clear();
  if (m->group != nullptr && !self.closing_) {
    self.depart(*m, wire::reason::process_down);
  }
  std::erase_if(self.iterations_, [m](const auto& one) { return one.second.owner == m; });
  self.throttle();
  return 0;
}

void cpg_server::on_destroyed(qb_ipcs_connection_t* c) {
  auto& self = of(c);
  if (self.members_.erase(c) != 0 && self.counters_.connections.get() != 0) {
    self.counters_.connections.set(self.counters_.connections.get() - 1);
  }
  ::qb_ipcs_context_set(c, nullptr);
}

// --- requests -----------------------------------------------------------------------------------------------------------------

void cpg_server::handle(member& from, bytes request) {
  const std::int32_t id = base::read_once_i32(request.data() + wire::header_id);
  const auto sized = [&](std::size_t least) {
    if (request.size() >= least) {
      return true;
    }
    refuse(from, fmt::format("size of request {}", id), request.size(), least);
    return false;
  };
  switch (static_cast<wire::request>(id)) {
    case wire::request::join: return sized(wire::join_request::bytes) ? join(from, request) : void();
    case wire::request::leave: return sized(wire::leave_request::bytes) ? leave(from, request) : void();
    case wire::request::multicast: return sized(wire::multicast_request::data) ? multicast(from, request) : void();
    case wire::request::membership: return sized(wire::membership_request::bytes) ? membership(from, request) : void();
    case wire::request::local_get: return local_get(from);
    case wire::request::iteration_initialize:
      return sized(wire::iteration_initialize_request::bytes) ? iteration_initialize(from, request) : void();
    case wire::request::iteration_next: return sized(wire::iteration_next_request::bytes) ? iteration_next(from, request) : void();
    case wire::request::iteration_finalize:
      return sized(wire::iteration_finalize_request::bytes) ? iteration_finalize(from, request) : void();
    case wire::request::finalize: from.finalized = true; return answer(from, wire::response::finalize, wire::status::ok);
    case wire::request::zc_alloc: return sized(wire::zc_alloc_request::bytes) ? zero_copy_alloc(from, request) : void();
    case wire::request::zc_free: return sized(wire::zc_free_request::bytes) ? zero_copy_free(from, request) : void();
    case wire::request::zc_execute: return sized(wire::zc_execute_request::bytes) ? zero_copy_execute(from, request) : void();
    case wire::request::partial_multicast: return sized(wire::partial_multicast_request::data) ? partial_multicast(from, request) : void();
  }
  // As stock answers what it does not know.
  counters_.requests_refused.add();
  log_.say(log_level::warning, {"", "requests were unknown"}, fmt::format("request id {} of process {} is unknown", id, from.pid));
  std::array<std::byte, wire::response_header_bytes> reply{};
  put_header(reply.data(), 0, reply.size(), wire::status::invalid_param);
  respond(from, reply);
}

bool cpg_server::name_at(bytes request, std::size_t at, std::string_view& out) {
  const std::uint32_t length = u32(request, at + wire::name_length);
  if (length > wire::name_text_max) {
    return false;
  }
  out = {reinterpret_cast<const char*>(request.data()) + at + wire::name_text, length};
  return true;
}

void cpg_server::join(member& from, bytes request) {
  namespace w = wire::join_request;
  std::string_view name;
  if (!name_at(request, w::name, name)) {
    return answer(from, wire::response::join, wire::status::name_too_long);
  }
  if (name.empty()) {  // stock takes it and can then never be rid of the member
    return answer(from, wire::response::join, wire::status::invalid_param);
  }
  const std::string copy(name);  // the client can still change its ring
  const std::uint32_t pid = u32(request, w::pid);
  const bool wants_ring = (u32(request, w::flags) & w::flag_initial_totem_configuration) != 0;
  if (from.group != nullptr || from.finalized || groups_.has(copy, pid)) {
    return answer(from, wire::response::join, wire::status::exist);
  }
  from.pid = pid;
  auto& g = groups_.add(copy, from);
  from.group = &g;
  answer(from, wire::response::join, wire::status::ok);
  const address me{options_.node_id, pid, wire::reason::join};
  tell_group(g, {&me, 1}, {});
  if (wants_ring) {
    tell_ring(from);
  }
}

void cpg_server::leave(member& from, bytes request) {
  namespace w = wire::leave_request;
  std::string_view name;
  if (!name_at(request, w::name, name)) {
    return answer(from, wire::response::leave, wire::status::name_too_long);
  }
  // Stock believes name and pid, and makes ghosts of others with them.
  if (from.group == nullptr || from.finalized || from.group->name != name || from.pid != u32(request, w::pid)) {
    return answer(from, wire::response::leave, wire::status::not_exist);
  }
  answer(from, wire::response::leave, wire::status::ok);
  depart(from, wire::reason::leave);
}

void cpg_server::multicast(member& from, bytes request) {
  namespace w = wire::multicast_request;
  const std::uint32_t length = u32(request, w::length);
  if (length > request.size() - w::data || length > wire::atomic_payload_max) {
    return refuse(from, "length of a multicast", length, std::min<std::uint64_t>(request.size() - w::data, wire::atomic_payload_max));
  }
  if (from.group == nullptr || from.finalized) {
    log_.say(log_level::warning, {"dropped", "multicasts of processes that are in no group"},
             fmt::format("dropped a multicast of process {}, which is in no group", from.pid));
    return;
  }
  deliver(from, request.subspan(w::data, length));
}

void cpg_server::deliver(member& from, bytes payload) {
  counters_.multicasts.add();
  const auto header = deliver_header(options_.node_id, from, payload.size());
  const iovec parts[] = {{const_cast<std::byte*>(header.data()), header.size()}, {const_cast<std::byte*>(payload.data()), payload.size()}};
  for (member* to : from.group->members) {
    send(*to, parts, payload.empty() ? 1 : 2, header.size() + payload.size());
  }
}

void cpg_server::partial_multicast(member& from, bytes request) {
  namespace w = wire::partial_multicast_request;
  const std::uint32_t length = u32(request, w::length), total = u32(request, w::total), type = u32(request, w::type);
  if (length > request.size() - w::data || length > wire::atomic_payload_max || type < 1 || type > 3) {
    counters_.requests_refused.add();
    return answer(from, wire::response::partial_multicast, wire::status::invalid_param);
  }
  if (from.group == nullptr || from.finalized) {
    return answer(from, wire::response::partial_multicast, wire::status::not_exist);
  }
  if (throttled_) {
    return answer(from, wire::response::partial_multicast, wire::status::try_again);
  }
  if (type == static_cast<std::uint32_t>(wire::fragment_type::first)) {
    from.interrupted = false;
    from.in_large_message = true;
  } else if (from.interrupted) {
    from.in_large_message = false;
    return answer(from, wire::response::partial_multicast, wire::status::interrupt);
  }
  answer(from, wire::response::partial_multicast, wire::status::ok);
  counters_.multicasts.add();
  const auto header = fragment_header(options_.node_id, from, length, total, type);
  const iovec parts[] = {{const_cast<std::byte*>(header.data()), header.size()},
                         {const_cast<std::byte*>(request.data()) + w::data, length}};
  for (member* to : from.group->members) {
    send(*to, parts, length == 0 ? 1 : 2, header.size() + length);
  }
  if (bad_ != nullptr && type != static_cast<std::uint32_t>(wire::fragment_type::last)) [[unlikely]] {
    hang_up_in_fragment(from);
  }
}

void cpg_server::membership(member& from, bytes request) {
  namespace w = wire::membership_response;
  std::string_view name;
  std::vector<std::byte> reply(w::bytes);
  put_header(reply.data(), wire::response::membership, reply.size(), wire::status::ok);
  if (name_at(request, wire::membership_request::name, name)) {
    if (const auto* g = groups_.find(name)) {
      const auto all = members_of(*g);
      const std::size_t count = std::min<std::size_t>(all.size(), w::members_max);
      put(reply.data() + w::count, static_cast<std::uint32_t>(count));
      for (std::size_t i = 0; i < count; ++i) {
        std::byte* at = reply.data() + w::members + i * wire::address_bytes;
        put(at + wire::address_node, all[i].node);
        put(at + wire::address_pid, all[i].pid);
      }
    }
  }
  respond(from, reply);
}

void cpg_server::local_get(member& from) {
  namespace w = wire::local_get_response;
  std::array<std::byte, w::bytes> reply{};
  put_header(reply.data(), wire::response::local_get, reply.size(), wire::status::ok);
  put(reply.data() + w::node, options_.node_id);
  respond(from, reply);
}

void cpg_server::iteration_initialize(member& from, bytes request) {
  namespace w = wire::iteration_initialize_request;
  const std::uint32_t type = u32(request, w::type);
  // Stock libcpg leaves the name as it is unless the type is one_group, and the stock daemon reads it for that type only.
  std::string_view name;
  if (type == w::one_group && !name_at(request, w::name, name)) {
    return answer(from, wire::response::iteration_initialize, wire::status::name_too_long);
  }
  if (from.iterations >= iterations_max) {
    counters_.requests_refused.add();
    return answer(from, wire::response::iteration_initialize, wire::status::no_memory);
  }
  const std::string wanted(name);
  iteration made;
  made.owner = &from;
  groups_.each([&](const groups<member>::group& g) {
    if (type == w::names_only) {
      made.rows.emplace_back(g.name, address{});
    } else if (type != w::one_group || g.name == wanted) {
      for (const address& one : members_of(g)) {
        made.rows.emplace_back(g.name, one);
      }
    }
  });
  const std::uint64_t token = next_token_++;
  iterations_.emplace(token, std::move(made));
  ++from.iterations;
  std::array<std::byte, wire::iteration_initialize_response::bytes> reply{};
  put_header(reply.data(), wire::response::iteration_initialize, reply.size(), wire::status::ok);
  put(reply.data() + wire::iteration_initialize_response::handle, token);
  respond(from, reply);
}

void cpg_server::iteration_next(member& from, bytes request) {
  namespace w = wire::iteration_next_response;
  const auto found = iterations_.find(base::read_once_u64(request.data() + wire::iteration_next_request::handle));
  std::array<std::byte, w::bytes> reply{};
  if (found == iterations_.end() || found->second.owner != &from) {
    put_header(reply.data(), wire::response::iteration_next, reply.size(), wire::status::library);
  } else if (found->second.next == found->second.rows.size()) {
    put_header(reply.data(), wire::response::iteration_next, reply.size(), wire::status::no_sections);
  } else {
    const auto& [name, who] = found->second.rows[found->second.next++];
    put_header(reply.data(), wire::response::iteration_next, reply.size(), wire::status::ok);
    put_name(reply.data() + w::name, name);
    put(reply.data() + w::node, who.node);
    put(reply.data() + w::pid, who.pid);
  }
  respond(from, reply);
}

void cpg_server::iteration_finalize(member& from, bytes request) {
  const auto found = iterations_.find(base::read_once_u64(request.data() + wire::iteration_finalize_request::handle));
  if (found == iterations_.end() || found->second.owner != &from) {
    return answer(from, wire::response::iteration_finalize, wire::status::library);
  }
  iterations_.erase(found);
  --from.iterations;
  answer(from, wire::response::iteration_finalize, wire::status::ok);
}

// --- answers and events -------------------------------------------------------------------------------------------------------

void cpg_server::answer(member& to, wire::response id, std::int32_t error) {
  std::array<std::byte, wire::response_header_bytes> reply{};
  put_header(reply.data(), id, reply.size(), error);
  respond(to, reply);
}

void cpg_server::respond(member& to, bytes response) {
  if (::qb_ipcs_response_send(to.connection, response.data(), response.size()) < 0) {
    doom(to, "its response ring takes no more: it asks without reading the answers");
  }
}

void cpg_server::refuse(member& from, std::string_view field, std::uint64_t value, std::uint64_t allowed) {
  counters_.requests_refused.add();
  doom(from, fmt::format("it sent a request whose {} is {}, allowed is {}", field, value, allowed));
}

std::vector<address> cpg_server::members_of(const groups<member>::group& g) const {
  std::vector<address> all;
  all.reserve(g.members.size());
  for (const member* m : g.members) {
    all.push_back({options_.node_id, m->pid, wire::reason::none});
  }
  if (bad_ != nullptr) {
    const auto& crowd = bad_->crowd.in(g.name);  // all above our node id, or all below it
    all.insert(!crowd.empty() && crowd.front().node < options_.node_id ? all.begin() : all.end(), crowd.begin(), crowd.end());
  }
  return all;
}

void cpg_server::tell_group(groups<member>::group& g, addresses joined, addresses left, member* also) {
  const auto view = configuration_event(g.name, members_of(g), joined, left);
  const iovec part{const_cast<std::byte*>(view.data()), view.size()};
  for (member* to : g.members) {
    to->interrupted = to->in_large_message;
    send(*to, &part, 1, view.size());
  }
  if (also != nullptr) {
    send(*also, &part, 1, view.size());
  }
}

void cpg_server::tell_ring(member& to) {
  std::vector<std::uint32_t> nodes{options_.node_id};
  if (bad_ != nullptr) {
    const auto crowd = bad_->crowd.nodes();
    nodes.insert(!crowd.empty() && crowd.front() < options_.node_id ? nodes.begin() : nodes.end(), crowd.begin(), crowd.end());
  }
  const auto ring = ring_event(options_.node_id, ring_sequence_, nodes);
  const iovec part{const_cast<std::byte*>(ring.data()), ring.size()};
  send(to, &part, 1, ring.size());
}

void cpg_server::depart(member& who, wire::reason why) {
  auto& g = *std::exchange(who.group, nullptr);
  groups_.remove(g, who);
  const address gone{options_.node_id, who.pid, why};
  tell_group(g, {}, {&gone, 1}, why == wire::reason::leave ? &who : nullptr);
  forget_if_empty(g);
}

void cpg_server::forget_if_empty(groups<member>::group& g) {
  if (bad_ != nullptr && g.members.empty() && !bad_->crowd.in(g.name).empty()) {
    show_crowd(g, bad_->crowd.depart(g.name));
  }
  groups_.forget_if_empty(g);
}

void cpg_server::send(member& to, const iovec* parts, std::size_t count, std::size_t total) {
  if (to.finalized || to.doomed) {
    return;
  }
  if (total > to.event_max) {  // libqb would keep it for ever and never send anything again
    return doom(to, fmt::format("an event of {} bytes does not fit into its ring of {}; its max_message_size is too small for this group",
                                total, to.event_max));
  }
  counters_.events.add();
  if (bad_ == nullptr) [[likely]] {
    send_as_is(to, parts, count, total);
  } else {
    send_badly(to, parts, count, total);
  }
}

/// False: libqb owes this client so many doorbell bytes that no more may be added. Events that it has not taken from its ring explain
/// some of them, and may be taken later. A client that has taken them and still does not read its socket is disconnected after a while:
/// one with slow callbacks may take many events at once and read behind them.
bool cpg_server::may_push(member& to) {
  if (!loop_.wants_output(to.connection)) {
    to.doorbells.sent(false);
    to.unread_since.reset();
    return true;
  }
  if (to.doomed) {
    return false;
  }
  auto* const stats = ::qb_ipcs_connection_stats_get_2(to.connection, 0);
  const std::uint32_t in_ring = stats == nullptr ? to.doorbells.count() : stats->event_q_length;
  std::free(stats);
  if (in_ring >= to.doorbells.count() / 2) {
    to.unread_since.reset();
  } else if (const auto now = base::clock::now(); !to.unread_since) {
    to.unread_since = now;
  } else if (now - *to.unread_since >= unread_patience) {
    counters_.members_disconnected.add();
    doom(to, fmt::format("it takes events but does not read its socket: {} doorbell bytes are owed to it", to.doorbells.count()));
  }
  return false;
}

/// As qb_ipcs_event_sendv(). -EAGAIN also when too many doorbell bytes are owed.
ssize_t cpg_server::push(member& to, const iovec* parts, std::size_t count) {
  if (to.doorbells.at_limit() && !may_push(to)) [[unlikely]] {
    return -EAGAIN;
  }
  ssize_t sent = 0;
  if (to.held_socket >= 0) [[unlikely]] {
    const full_socket::instead_of held(bad_->full, to.held_socket);
    sent = ::qb_ipcs_event_sendv(to.connection, parts, count);
  } else {
    sent = ::qb_ipcs_event_sendv(to.connection, parts, count);
  }
  if (sent >= 0) {
    to.doorbells.sent(loop_.wants_output(to.connection));
  }
  return sent;
}

void cpg_server::send_as_is(member& to, const iovec* parts, std::size_t count, std::size_t total) {
  if (to.backlog.empty()) {
    const auto sent = push(to, parts, count);
    if (sent >= 0 || (sent != -EAGAIN && sent != -ENOBUFS)) {
      return;  // sent, or the connection is on its way out
    }
  }
  if (options_.slow_member == slow_member_policy::disconnect && to.backlog_bytes + total > options_.member_backlog_bytes_max) {
    counters_.members_disconnected.add();
    return doom(to, fmt::format("it does not read: {} bytes wait for it, the limit is {}", to.backlog_bytes + total,
                                options_.member_backlog_bytes_max));
  }
  std::vector<std::byte> copy;
  copy.reserve(total);
  for (std::size_t i = 0; i < count; ++i) {
    const auto* from = static_cast<const std::byte*>(parts[i].iov_base);
    copy.insert(copy.end(), from, from + parts[i].iov_len);
  }
  if (to.backlog.empty()) {
    waiting_.push_back(&to);
    flush_pause_ = flush_pause_min;
  }
  to.backlog.push_back(std::move(copy));
  to.backlog_bytes += total;
  counters_.events_queued.add();
  counters_.backlog_bytes.add(total);
  throttle();
  keep_flushing();
}

void cpg_server::flush_backlog(member& of) {
  while (!of.backlog.empty() && !of.doomed && !of.finalized) {
    const auto& front = of.backlog.front();
    const iovec part{const_cast<std::byte*>(front.data()), front.size()};
    if (push(of, &part, 1) < 0) {
      break;
    }
    of.backlog_bytes -= front.size();
    counters_.backlog_bytes.set(counters_.backlog_bytes.get() - front.size());
    of.backlog.pop_front();
    flush_pause_ = flush_pause_min;
  }
  if (of.backlog.empty()) {
    std::erase(waiting_, &of);
  }
  throttle();
}

void cpg_server::keep_flushing() {
  if (flushing_ || waiting_.empty()) {
    return;
  }
  flushing_ = true;
  loop_.tick_after(flush_pause_, [this] {
    flushing_ = false;
    flush_all();
  });
}

void cpg_server::flush_all() {
  flush_pause_ = std::min(flush_pause_ * 2, flush_pause_max);
  const auto all = waiting_;
  for (member* one : all) {
    flush_backlog(*one);
  }
  bury();
  keep_flushing();
}

/// Policy `block`: while somebody is behind its limit, nobody's multicasts are taken; clients see flow control, as stock shows it.
void cpg_server::throttle() {
  if (options_.slow_member != slow_member_policy::block || service_ == nullptr) {
    return;
  }
  const bool behind = std::any_of(waiting_.begin(), waiting_.end(),
                                  [this](const member* m) { return m->backlog_bytes > options_.member_backlog_bytes_max; });
  const bool caught_up = std::all_of(waiting_.begin(), waiting_.end(),
                                     [this](const member* m) { return m->backlog_bytes <= options_.member_backlog_bytes_max / 2; });
  if (behind && !throttled_) {
    throttled_ = true;
    apply_rate();
  } else if (caught_up && throttled_) {
    throttled_ = false;
    apply_rate();
  }
}

void cpg_server::apply_rate() { ::qb_ipcs_request_rate_limit(service_, throttled_ || standing_ ? QB_IPCS_RATE_OFF_2 : QB_IPCS_RATE_FAST); }

void cpg_server::doom(member& who, std::string_view why) {
  if (std::exchange(who.doomed, true)) {
    return;
  }
  log_.say(log_level::warning, {"disconnected", "clients"}, fmt::format("disconnecting process {}: {}", who.pid, why));
  doomed_.push_back(who.connection);
  // libqb keeps no reference while it hands out a connection's requests: to disconnect it from among them would free it under libqb's feet.
  loop_.soon(this, [](void* self) { static_cast<cpg_server*>(self)->bury(); });
}

/// Disconnecting tells the group, which may doom the next one: until nobody is left.
void cpg_server::bury() {
  while (!doomed_.empty()) {
    qb_ipcs_connection_t* one = doomed_.back();
    doomed_.pop_back();
    ::qb_ipcs_disconnect(one);
  }
}

}  // namespace cpgring::service
