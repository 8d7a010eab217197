// The part of corosync's cfg service that its tools need in addition to cpg: the addresses of a node, and the
// local node id.
//
// corosync-cpgtool connects to both services before it lists anything. Every other request is answered "not
// supported". Service thread only.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include <qb/qbipcs.h>

#include <cpgring/result.hpp>
#include <cpgring/service.hpp>

#include "service/client_gate.hpp"
#include "service/request_budget.hpp"

namespace cpgring::service {

class cfg_server {
 public:
  cfg_server(const embedded_service_options& options, const event_loop& loop) noexcept
      : options_(options), budget_(loop) {}
  ~cfg_server() { close(); }
  cfg_server(const cfg_server&) = delete;
  cfg_server& operator=(const cfg_server&) = delete;

  /// Listens under the name "cfg" on the calling thread's event loop. Errors: an errno.
  result<void> listen();
  /// See cpg_server::open_to().
  void open_to(client_gate& gate) noexcept { gate_ = &gate; }
  /// Disconnects all clients. The loop must run its jobs once more afterwards.
  void close() noexcept;

 private:
  static std::int32_t on_accept(qb_ipcs_connection_t* c, uid_t uid, gid_t gid);
  static std::int32_t on_message(qb_ipcs_connection_t* c, void* data, std::size_t size);
  static std::int32_t on_closed(qb_ipcs_connection_t*) { return 0; }

  const embedded_service_options& options_;
  qb_ipcs_service_t* service_ = nullptr;
  client_gate* gate_ = nullptr;
  request_budget budget_;
};

}  // namespace cpgring::service
