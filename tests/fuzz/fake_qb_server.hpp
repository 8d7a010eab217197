// Replaces the functions of libqb's server that engine/service/ calls, without sockets and shared memory:
// requests are passed by function calls, answers and events are checked and dropped. Serves one service at a
// time; linked instead of libqb.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include <qb/qbipcs.h>

struct qb_ipcs_connection {
  void* context = nullptr;
  std::uint32_t buffer_bytes = 0;
  bool disconnected = false;
  bool full = false;  // its rings take nothing
  std::uint64_t responses = 0, events = 0;
};

namespace cpgring::fuzz {

/// Aborts the program with a message if `holds` is false; libFuzzer then keeps the input.
void demand(bool holds, const char* what);

/// The callbacks that the service has registered with libqb, and its clients.
class fake_qb_server {
 public:
  static fake_qb_server& instance();

  qb_ipcs_connection* connect(std::uint32_t buffer_bytes);
  /// False: the service has disconnected the client.
  bool request(qb_ipcs_connection& from, std::span<const std::byte> bytes);
  void disconnect(qb_ipcs_connection* which);

  qb_ipcs_service_handlers handlers{};
  void* service_context = nullptr;
  std::function<void(qb_ipcs_connection&, std::span<const std::byte>)> on_event, on_response;
};

}  // namespace cpgring::fuzz
