// The way into the service: handshakes are limited in number and time, and whoever may not be a client is refused. The service's thread.
#pragma once

#include <cstdint>
#include <string_view>

#include <qb/qbipcs.h>

#include "service/admission.hpp"
#include "service/event_loop.hpp"
#include "service/half_open.hpp"
#include "service/service_log.hpp"

namespace cpgring::service {

class client_gate final : public event_loop::gatekeeper {
 public:
  client_gate(admission rules, event_loop& loop, service_log& log);
  ~client_gate();
  client_gate(const client_gate&) = delete;
  client_gate& operator=(const client_gate&) = delete;

  /// In libqb's connection_accept: 0, or the errno to refuse with. Sets who owns the shared files.
  [[nodiscard]] std::int32_t admit(qb_ipcs_connection_t* c, uid_t uid, gid_t gid);
  /// Hangs up on all whose handshake is under way.
  void close();

  bool may_begin(std::int32_t fd) override;
  void ended(std::int32_t fd) override;
  void out_of_descriptors() override;

 private:
  void hang_up(std::int32_t fd, std::string_view why);
  void watch_time();

  const admission rules_;
  event_loop& loop_;
  service_log& log_;
  half_open half_open_;
  bool watching_ = false;
};

}  // namespace cpgring::service
