#include "fuzz/fake_qb_server.hpp"

#include <sys/uio.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace cpgring::fuzz {

void demand(bool holds, const char* what) {
  if (!holds) {
    std::fprintf(stderr, "the service misbehaves: %s\n", what);
    std::abort();
  }
}

fake_qb_server& fake_qb_server::instance() {
  static fake_qb_server one;
  return one;
}

qb_ipcs_connection* fake_qb_server::connect(std::uint32_t buffer_bytes) {
  auto* const made = new qb_ipcs_connection;
  made->buffer_bytes = buffer_bytes;
  demand(handlers.connection_accept(made, 0, 0) == 0, "it refused root");
  handlers.connection_created(made);
  return made;
}

bool fake_qb_server::request(qb_ipcs_connection& from, std::span<const std::byte> bytes) {
  if (!from.disconnected) {
    handlers.msg_process(&from, const_cast<std::byte*>(bytes.data()), bytes.size());
  }
  return !from.disconnected;
}

void fake_qb_server::disconnect(qb_ipcs_connection* which) {
  ::qb_ipcs_disconnect(which);
  handlers.connection_destroyed(which);
  demand(which->context == nullptr, "it keeps a client that has disconnected");
  delete which;
}

}  // namespace cpgring::fuzz

using cpgring::fuzz::demand;
using cpgring::fuzz::fake_qb_server;

extern "C" {

qb_ipcs_service_t* qb_ipcs_create(const char*, int32_t, enum qb_ipc_type,
                                  struct qb_ipcs_service_handlers* handlers) {
  fake_qb_server::instance().handlers = *handlers;
  return reinterpret_cast<qb_ipcs_service_t*>(&fake_qb_server::instance());
}
void qb_ipcs_poll_handlers_set(qb_ipcs_service_t*, struct qb_ipcs_poll_handlers*) {}
void qb_ipcs_service_context_set(qb_ipcs_service_t*, void* context) {
  fake_qb_server::instance().service_context = context;
}
void* qb_ipcs_connection_service_context_get(qb_ipcs_connection_t*) {
  return fake_qb_server::instance().service_context;
}
int32_t qb_ipcs_run(qb_ipcs_service_t*) { return 0; }
void qb_ipcs_destroy(qb_ipcs_service_t*) {}
void qb_ipcs_request_rate_limit(qb_ipcs_service_t*, enum qb_ipcs_rate_limit) {}
void qb_ipcs_connection_auth_set(qb_ipcs_connection_t*, uid_t, gid_t, mode_t) {}
void qb_ipcs_context_set(qb_ipcs_connection_t* c, void* context) { c->context = context; }
void* qb_ipcs_context_get(qb_ipcs_connection_t* c) { return c->context; }
int32_t qb_ipcs_connection_get_buffer_size(qb_ipcs_connection_t* c) {
  return static_cast<int32_t>(c->buffer_bytes);
}

struct qb_ipcs_connection_stats_2* qb_ipcs_connection_stats_get_2(qb_ipcs_connection_t*, int32_t) {
  return static_cast<qb_ipcs_connection_stats_2*>(std::calloc(1, sizeof(qb_ipcs_connection_stats_2)));
}

void qb_ipcs_disconnect(qb_ipcs_connection_t* c) {
  if (!c->disconnected) {
    c->disconnected = true;
    fake_qb_server::instance().handlers.connection_closed(c);
  }
}

ssize_t qb_ipcs_response_send(qb_ipcs_connection_t* c, const void* data, size_t size) {
  demand(!c->disconnected, "it answers a client that has disconnected");
  if (c->full) {
    return -EAGAIN;
  }
  demand(size <= c->buffer_bytes, "an answer is larger than the ring");
  c->responses += 1;
  fake_qb_server::instance().on_response(*c, {static_cast<const std::byte*>(data), size});
  return static_cast<ssize_t>(size);
}

ssize_t qb_ipcs_event_sendv(qb_ipcs_connection_t* c, const struct iovec* parts, size_t count) {
  demand(!c->disconnected, "it sends an event to a client that has disconnected");
  if (c->full) {
    return -EAGAIN;
  }
  static std::vector<std::byte> whole;
  whole.clear();
  for (size_t i = 0; i < count; ++i) {
    const auto* from = static_cast<const std::byte*>(parts[i].iov_base);
    whole.insert(whole.end(), from, from + parts[i].iov_len);
  }
  demand(whole.size() <= c->buffer_bytes, "an event is larger than the ring");
  c->events += 1;
  fake_qb_server::instance().on_event(*c, whole);
  return static_cast<ssize_t>(whole.size());
}
}
