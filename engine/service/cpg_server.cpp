#include "service/cpg_server.hpp"

#include <cerrno>
#include <utility>

#include <fmt/format.h>

namespace cpgring::service {

cpg_server::cpg_server(const embedded_service_options& options, std::string name, event_loop& loop,
                       service_log& log, server_counters& counters)
    : options_(options), name_(std::move(name)), loop_(loop), log_(log), counters_(counters), budget_(loop) {}

cpg_server::~cpg_server() { close(); }

// --- callbacks of libqb

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
    service_ = nullptr;  // already destroyed by libqb
    if (code == -EADDRINUSE) {
      return fail(
          errc::exist,
          fmt::format("the service name '{}' is taken in this network namespace; is corosync running?",
                      name_));
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
  loop_.run_jobs();  // libqb defers the end of connections to jobs
  members_.clear();
}

cpg_server& cpg_server::of(qb_ipcs_connection_t* c) {
  return *static_cast<cpg_server*>(::qb_ipcs_connection_service_context_get(c));
}

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
  m.doorbells = unsent_doorbells(m.event_max);
  self.counters_.connections.add();
  self.counters_.connections_total.add();
  m.number = self.counters_.connections_total.get();
}

std::int32_t cpg_server::on_message(qb_ipcs_connection_t* c, void* data, std::size_t size) {
  auto& self = of(c);
  auto* m = static_cast<member*>(::qb_ipcs_context_get(c));
  if (m == nullptr || m->disconnecting) {
    return self.budget_.spend();
  }
  self.counters_.requests.add();
  // `size` comes from the client's header. Any size up to event_max lies within the client's own ring,
  // whatever the client really wrote there.
  if (size < wire::request_header_bytes || size > m->event_max) {
    self.refuse(*m, "size of a request", size, m->event_max);
  } else if (const bytes request(static_cast<const std::byte*>(data), size); self.interceptor_ == nullptr)
      [[likely]] {
    self.handle(*m, request);
  } else {
    self.handle_intercepted(*m, request);
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
  std::erase(self.to_disconnect_, c);
  self.counters_.backlog_bytes.set(self.counters_.backlog_bytes.get() - m->backlog_bytes);
  m->backlog_bytes = 0;
  m->backlog.clear();
  if (m->group != nullptr && !self.closing_) {
    self.depart(*m, wire::reason::process_down);
  }
  std::erase_if(self.iterations_, [m](const auto& one) { return one.second.owner == m; });
  if (self.interceptor_ != nullptr && m->number != 0) {
    self.interceptor_->client_gone(m->number);
  }
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

// --- answers

void cpg_server::answer(member& to, wire::response id, std::int32_t error) {
  std::array<std::byte, wire::response_header_bytes> reply{};
  put_header(reply.data(), id, reply.size(), error);
  respond(to, reply);
}

void cpg_server::respond(member& to, bytes response) {
  if (::qb_ipcs_response_send(to.connection, response.data(), response.size()) < 0) {
    disconnect(to, "its response ring is full: it sends requests without reading the answers");
  }
}

void cpg_server::refuse(member& from, std::string_view field, std::uint64_t value, std::uint64_t allowed) {
  counters_.requests_refused.add();
  disconnect(from, fmt::format("it sent a request whose {} is {}, allowed is {}", field, value, allowed));
}

// --- disconnecting

void cpg_server::disconnect(member& who, std::string_view why) {
  if (std::exchange(who.disconnecting, true)) {
    return;
  }
  log_.say(log_level::warning, {"disconnected", "clients"},
           fmt::format("disconnecting process {}: {}", who.pid, why));
  to_disconnect_.push_back(who.connection);
  // Deferred to a job: libqb holds no reference to a connection while it hands out that connection's
  // requests. Disconnecting during a request would free the connection while libqb still uses it.
  loop_.soon(this, [](void* self) { static_cast<cpg_server*>(self)->disconnect_marked(); });
}

/// Each disconnect sends a view to the group, which may mark another member: repeats until none is marked.
void cpg_server::disconnect_marked() {
  while (!to_disconnect_.empty()) {
    qb_ipcs_connection_t* one = to_disconnect_.back();
    to_disconnect_.pop_back();
    ::qb_ipcs_disconnect(one);
  }
}

}  // namespace cpgring::service
