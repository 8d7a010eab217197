#include "service/cfg_server.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/checked_read.hpp"
#include "service/event_loop.hpp"
#include "service/events.hpp"

namespace cpgring::service {
namespace {

// Request and response ids of the cfg service of corosync 3.1.
constexpr std::int32_t request_node_addresses = 5, request_local_get = 6;
constexpr std::int32_t response_node_addresses = 11, response_local_get = 12;
constexpr std::size_t request_bytes = 16, response_bytes = 24, address_bytes = 16;

}  // namespace

result<void> cfg_server::listen() {
  qb_ipcs_service_handlers handlers{&on_accept, nullptr, &on_message, &on_closed, nullptr};
  service_ = ::qb_ipcs_create("cfg", 1, QB_IPC_SHM, &handlers);
  if (service_ == nullptr) {
    return fail_errno(errno, "creating service 'cfg'");
  }
  auto poll = event_loop::handlers();
  ::qb_ipcs_poll_handlers_set(service_, &poll);
  ::qb_ipcs_service_context_set(service_, this);
  if (const std::int32_t code = ::qb_ipcs_run(service_); code != 0) {
    service_ = nullptr;  // already destroyed by libqb
    return fail_errno(-code, "listening under the service name 'cfg'");
  }
  return {};
}

void cfg_server::close() noexcept {
  if (service_ != nullptr) {
    ::qb_ipcs_destroy(std::exchange(service_, nullptr));
  }
}

std::int32_t cfg_server::on_accept(qb_ipcs_connection_t* c, uid_t uid, gid_t gid) {
  const auto& self = *static_cast<cfg_server*>(::qb_ipcs_connection_service_context_get(c));
  return self.gate_ == nullptr ? -EAGAIN : self.gate_->admit(c, uid, gid);
}

std::int32_t cfg_server::on_message(qb_ipcs_connection_t* c, void* data, std::size_t size) {
  auto& self = *static_cast<cfg_server*>(::qb_ipcs_connection_service_context_get(c));
  const std::int32_t id = size < request_bytes ? -1 : base::read_once_i32(data);
  std::array<std::byte, response_bytes + 8 + address_bytes> reply{};
  std::size_t reply_bytes = response_bytes;
  if (id == request_node_addresses) {
    reply_bytes = reply.size();
    put_header(reply.data(), response_node_addresses, reply_bytes, wire::status::ok);
    put(reply.data() + response_bytes, std::uint32_t{AF_INET});
    put(reply.data() + response_bytes + 4, std::uint32_t{1});
    put(reply.data() + response_bytes + 8, htonl(INADDR_LOOPBACK));
  } else if (id == request_local_get) {
    reply_bytes = response_bytes + 8;
    put_header(reply.data(), response_local_get, reply_bytes, wire::status::ok);
    put(reply.data() + response_bytes, self.options_.node_id);
  } else {
    put_header(reply.data(), 0, reply_bytes, wire::status::not_supported);
  }
  ::qb_ipcs_response_send(c, reply.data(), reply_bytes);
  return self.budget_.spend();
}

}  // namespace cpgring::service
