// Admits clients to the service: limits the number and duration of handshakes, and refuses processes that may
// not connect. Service thread only.
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

  /// Called by libqb's connection_accept. Returns 0, or the negative errno to refuse with. Sets the owner of
  /// the shared files.
  [[nodiscard]] std::int32_t admit(qb_ipcs_connection_t* c, uid_t uid, gid_t gid);
  /// Disconnects the clients whose handshake deadline has passed. A client whose data the service has not
  /// read yet gets a new deadline instead. Called by a timer of the loop.
  void drop_expired(base::time_point now);
  /// Disconnects all clients whose handshake is in progress.
  void close();

  bool may_begin(std::int32_t fd) override;
  void ended(std::int32_t fd) override;
  void out_of_descriptors() override;

 private:
  void hang_up(std::int32_t fd, std::string_view why);
  void arm_timer();

  const admission rules_;
  event_loop& loop_;
  service_log& log_;
  half_open half_open_;
  bool watching_ = false;
};

}  // namespace cpgring::service
