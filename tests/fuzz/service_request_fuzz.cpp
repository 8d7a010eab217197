// Any requests to the embedded service, through libqb's own client: it answers, refuses or hangs up, and an honest member beside them is
// served as before.
//
// Input: requests, each behind its size (2 bytes); the size field in the header is set to what is sent, or left alone for odd sizes.
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <qb/qbipcc.h>

#include <cpgring/cpgring.hpp>

namespace {

using namespace cpgring;

void demand(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

embedded_service& service() {
  static embedded_service one([] {
    embedded_service_options o;
    o.member_backlog_bytes_max = 1 << 16;
    return o;
  }());
  return one;
}

/// A member whose messages come back, whatever the others do.
class honest_member {
 public:
  honest_member() {
    callbacks calls;
    calls.on_message = [this](handle&, const message& m) { heard_ += m.text() == "honest" ? 1 : 0; };
    calls.on_state = [this](handle&, const state_change& s) {
      joined_ = joined_ || s.to == handle_state::joined;
      demand(s.cause == nullptr);
    };
    handle_options o;
    o.service = service().name();
    o.group = "honest";
    o.max_message_size = 16384;
    o.pid = 1;
    self_ = *loop_.open(o, calls);
    while (!joined_) {
      demand(loop_.dispatch(mode::one).has_value());
    }
  }
  void is_served() {
    const int before = heard_;
    demand(self_.multicast("honest").has_value());
    while (heard_ == before) {
      demand(loop_.dispatch(mode::one).has_value());
    }
  }

 private:
  engine loop_;
  handle self_;
  int heard_ = 0;
  bool joined_ = false;
};

constexpr std::size_t buffer_bytes = 16384;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static honest_member honest;
  // A connection costs far more than what is sent on it: it serves some inputs, and is left in whatever state they brought about.
  static qb_ipcc_connection_t* c = nullptr;
  static int inputs = 0;
  if (c != nullptr && ++inputs % 32 == 0) {
    ::qb_ipcc_disconnect(std::exchange(c, nullptr));
  }
  if (c == nullptr) {
    c = ::qb_ipcc_connect(service().name().c_str(), buffer_bytes);
    demand(c != nullptr);
  }
  std::vector<char> answer(buffer_bytes);
  while (size >= 2) {
    std::uint16_t wanted = 0;
    std::memcpy(&wanted, data, 2);
    data += 2;
    size -= 2;
    const std::size_t length = wanted < size ? wanted : size;
    // What a client of libqb's can't say without breaking the transport itself: a header of 16 bytes, no larger than the ring.
    std::vector<char> request(length < 16 ? 16 : length > 8192 ? 8192 : length);
    std::memcpy(request.data(), data, length < request.size() ? length : request.size());
    std::int32_t id = 0;
    std::memcpy(&id, request.data(), 4);
    id = id < 0 ? 0 : id % 16;  // below 0 libqb's own: a disconnect
    std::memcpy(request.data(), &id, 4);
    const auto header_size = static_cast<std::int32_t>(request.size());
    if (request.size() % 2 == 0) {
      std::memcpy(request.data() + 8, &header_size, 4);
    }
    const iovec part{request.data(), request.size()};
    if (::qb_ipcc_sendv(c, &part, 1) < 0) {
      ::qb_ipcc_disconnect(std::exchange(c, nullptr));
      break;
    }
    while (::qb_ipcc_recv(c, answer.data(), answer.size(), 0) > 0) {
    }
    while (::qb_ipcc_event_recv(c, answer.data(), answer.size(), 0) > 0) {
    }
    data += length;
    size -= length;
  }
  honest.is_served();
  return 0;
}
