// A service that listens in the test's own process and thread: the test accepts each client and plays the
// service's side of its connection, step by step. No call waits.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "base/owned.hpp"
#include "support/hostile_service.hpp"
#include "support/in_process_service.hpp"
#include "unit/ipc/fake_service.hpp"
#include "unit/ipc/raw_ring.hpp"

namespace cpgring::test {

class in_process_listener {
 public:
  static constexpr std::uint32_t node = 1;  // node id in its answers

  in_process_listener() : name_(ipc::test::fresh_name("listener")) { listen(); }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  void stop_listening() noexcept { listener_.reset(); }
  void listen() {
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name_.data(), name_.size());
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), 64) != 0) {
      std::perror(name_.c_str());
      std::abort();
    }
  }
  /// Accepts the next client, whose handshake is not answered yet. Null: no client waits.
  std::unique_ptr<in_process_service> accept() {
    base::unique_fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      return nullptr;
    }
    std::array<char, 64> request{};
    std::uint32_t ring_bytes = 0;
    const auto got = ::recv(socket.get(), request.data(), request.size(), MSG_DONTWAIT);
    std::memcpy(&ring_bytes, request.data() + 16, sizeof ring_bytes);
    return got == 24 ? std::make_unique<in_process_service>(std::move(socket), ring_bytes) : nullptr;
  }

 private:
  const std::string name_;
  base::unique_fd listener_;
};

/// Answers all waiting requests as an honest service does for a client that is alone in its group. Multicasts
/// are appended to `multicasts`, and delivered if `deliver` is true.
struct honest_answers {
  std::uint32_t pid = 0;
  bool deliver = false;
  std::string group;
  std::vector<std::string> multicasts;
  std::vector<cpg::wire::request> requests;

  void serve(in_process_service& on) {
    while (const auto one = on.take_request()) {
      requests.push_back(one->id());
      serve_one(on, *one);
    }
  }

 private:
  void serve_one(in_process_service& on, const received_request& one) {
    namespace wire = cpg::wire;
    switch (one.id()) {
      case wire::request::local_get: {
        auto answer = answer_of(wire::response::local_get, wire::local_get_response::bytes);
        std::memcpy(answer.data() + wire::local_get_response::node, &in_process_listener::node,
                    sizeof in_process_listener::node);
        on.answer(answer);
        return;
      }
      case wire::request::join:
        group = one.name(wire::join_request::name);
        pid = one.u32(wire::join_request::pid);
        on.answer(answer_of(wire::response::join, wire::response_header_bytes));
        on.send_event(view_event(group, pid));
        return;
      case wire::request::leave:
        on.answer(answer_of(wire::response::leave, wire::response_header_bytes));
        on.send_event(view_event(group, pid, false));
        return;
      case wire::request::multicast:
        multicasts.push_back(one.payload());
        if (deliver) {
          on.send_event(message_event(group, pid, multicasts.back()));
        }
        return;
      case wire::request::finalize:
        on.answer(answer_of(wire::response::finalize, wire::response_header_bytes));
        return;
      default: return;
    }
  }
};

}  // namespace cpgring::test
