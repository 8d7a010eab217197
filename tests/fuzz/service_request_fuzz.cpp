// Any requests of three clients to the CPG service: it answers, refuses or disconnects, sends only valid
// events, and an honest member beside them is served as before.
//
// Input: requests, each preceded by two bytes: its size (14 bits) and its client (2 bits; 3: client 0, whose
// rings are full from here on). The size field in the header is set to the real size, or left as it is for
// odd sizes. No socket and no thread is involved: fake_qb_server.hpp replaces libqb's server. tests/flow and
// tests/unit/service cover the path through libqb.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include <cpgring/service.hpp>

#include "base/checked_read.hpp"
#include "cpg/codec.hpp"
#include "fuzz/fake_qb_server.hpp"
#include "service/cpg_server.hpp"
#include "support/raw_requests.hpp"

namespace {

using namespace cpgring;
using fuzz::demand;

constexpr std::uint32_t ring_bytes = 16384;
constexpr std::size_t request_bytes_max = 8192;
constexpr std::string_view honest_text = "honest";

struct world {
  world() : server(options, "fuzz", loop, log, counters) {
    options.member_backlog_bytes_max = 1 << 16;
    loop.enter();
    server.open_to(gate);
    demand(server.listen().has_value(), "it does not listen");
    qb.on_response = [](qb_ipcs_connection&, std::span<const std::byte> response) {
      demand(response.size() >= cpg::wire::response_header_bytes, "an answer without a header");
      demand(static_cast<std::size_t>(base::read_once_i32(response.data() + cpg::wire::header_size)) ==
                 response.size(),
             "an answer's size field");
    };
    qb.on_event = [this](qb_ipcs_connection& to, std::span<const std::byte> event) {
      event_copy.assign(event.begin(), event.end());
      const auto kind =
          cpg::decode(event_copy.data(), static_cast<std::uint32_t>(event_copy.size()), decoded);
      demand(kind != cpg::event_kind::broken, "an event that our own decoder refuses");
      if (&to == honest && kind == cpg::event_kind::deliver) {
        const auto& m = decoded.message;
        heard += std::string_view(reinterpret_cast<const char*>(m.data), m.size) == honest_text ? 1 : 0;
      }
    };
    honest = qb.connect(ring_bytes);
    auto join = cpg::make_request(cpg::wire::request::join, cpg::wire::join_request::bytes);
    cpg::put_name(join.data() + cpg::wire::join_request::name, "honest");
    cpg::put(join.data() + cpg::wire::join_request::pid, std::uint32_t{1});
    demand(qb.request(*honest, join), "it disconnected an honest member");
  }

  void honest_member_is_served() {
    std::vector<std::byte> request(cpg::wire::multicast_request::data + honest_text.size());
    cpg::put_multicast_header(request.data(), honest_text.size());
    std::memcpy(request.data() + cpg::wire::multicast_request::data, honest_text.data(), honest_text.size());
    const int before = heard;
    demand(qb.request(*honest, request), "it disconnected an honest member");
    demand(heard == before + 1, "an honest member's message did not come back");
  }

  embedded_service_options options;
  service::event_loop loop;
  service::server_counters counters;
  service::service_log log{{}, loop};
  service::client_gate gate{*service::admission::make(options, {}), loop, log};
  service::cpg_server server;
  fuzz::fake_qb_server& qb = fuzz::fake_qb_server::instance();
  qb_ipcs_connection* honest = nullptr;
  int heard = 0;
  cpg::event decoded;
  std::vector<std::byte> event_copy;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static world w;
  std::array<qb_ipcs_connection*, 3> clients{};
  while (size >= 2) {
    std::uint16_t head = 0;
    std::memcpy(&head, data, 2);
    data += 2;
    size -= 2;
    const std::size_t wanted = head & 0x3fff, length = wanted < size ? wanted : size;
    const std::size_t number = head >> 14;
    auto& client = clients[number % clients.size()];
    if (client == nullptr) {
      client = w.qb.connect(ring_bytes);
    }
    client->full = client->full || number == clients.size();
    // As libqb passes it: at least a header, at most the ring's size.
    std::vector<std::byte> request(length < 16                  ? 16
                                   : length > request_bytes_max ? request_bytes_max
                                                                : length);
    std::memcpy(request.data(), data, length < request.size() ? length : request.size());
    std::int32_t id = 0;
    std::memcpy(&id, request.data(), 4);
    id = id < 0 ? 0 : id % 16;  // libqb uses negative ids itself
    std::memcpy(request.data(), &id, 4);
    if (request.size() % 2 == 0) {
      cpg::put(request.data() + 8, static_cast<std::int32_t>(request.size()));
    }
    w.qb.request(*client, request);
    w.loop.run_jobs();
    data += length;
    size -= length;
  }
  w.honest_member_is_served();
  for (auto* client : clients) {
    if (client != nullptr) {
      w.qb.disconnect(client);
    }
  }
  w.loop.run_jobs();
  demand(w.counters.connections.get() == 1, "it counts clients that have disconnected");
  w.honest_member_is_served();
  return 0;
}
