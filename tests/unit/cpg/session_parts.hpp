// Shared by the tests of a session's parts: answers that the test gives as the service, and notices as text.
#pragma once

#include <chrono>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "cpg/notice.hpp"
#include "cpg/request_line.hpp"
#include "cpg/send_queue.hpp"
#include "support/hostile_service.hpp"
#include "support/in_process_service.hpp"

namespace cpgring::cpg::test {

using cpgring::test::answer_of;
using cpgring::test::in_process_service;
using cpgring::test::received_request;

constexpr std::uint32_t own_pid = 42, own_node = 1;
constexpr std::size_t overhead = send_queue::confirmation_overhead;
constexpr base::time_point never = base::time_point::max();
constexpr base::time_point at_ms(int ms) {
  return base::time_point(std::chrono::seconds(1000)) + std::chrono::milliseconds(ms);
}

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// A request as text: its kind, then its name, payload or handle.
inline std::string describe(const received_request& one) {
  using wire::request;
  switch (one.id()) {
    case request::join: return "join " + one.name(wire::join_request::name);
    case request::leave: return "leave " + one.name(wire::leave_request::name);
    case request::multicast: return "multicast " + one.payload();
    case request::local_get: return "local_get";
    case request::iteration_initialize: return "begin " + one.name(wire::iteration_initialize_request::name);
    case request::iteration_next:
      return "next " + std::to_string(one.u64(wire::iteration_next_request::handle));
    case request::iteration_finalize:
      return "end " + std::to_string(one.u64(wire::iteration_finalize_request::handle));
    case request::finalize: return "finalize";
    case request::partial_multicast: {
      constexpr const char* names[] = {"?", "first", "middle", "last"};
      return std::string("fragment ") + names[one.u32(wire::partial_multicast_request::type) & 3] + " " +
             one.payload();
    }
    default: return "request " + std::to_string(static_cast<int>(one.id()));
  }
}

inline std::vector<std::string> describe_all(in_process_service& service) {
  std::vector<std::string> all;
  for (const auto& one : service.take_requests()) {
    all.push_back(describe(one));
  }
  return all;
}

/// Calls the one of `cases` that takes the alternative that `one` holds.
template <class Notice, class... Cases>
decltype(auto) visit_notice(Notice&& one, Cases&&... cases) {
  struct all : std::remove_cvref_t<Cases>... {
    using std::remove_cvref_t<Cases>::operator()...;
  };
  return std::visit(all{std::forward<Cases>(cases)...}, std::forward<Notice>(one));
}

/// A notice as text. A completion is run; its text is "done".
inline std::string describe(notice&& one) {
  return visit_notice(
      std::move(one),
      [](state_changed&& what) {
        return std::string(to_string(what.to)) + (what.cause ? ": " + what.cause->code.message() : "");
      },
      [](completed&& what) {
        what.run();
        return std::string("done");
      },
      [](writable&&) { return std::string("writable"); }, [](restored&&) { return std::string("restored"); },
      [](aborted&& what) {
        return "aborted " + std::to_string(what.received) + " of " + std::to_string(what.announced);
      });
}

inline std::vector<std::string> describe_all(std::deque<notice>& notices) {
  std::vector<std::string> all;
  while (!notices.empty()) {
    notice one = std::move(notices.front());
    notices.pop_front();
    all.push_back(describe(std::move(one)));
  }
  return all;
}

// Answers of the service.
inline void answer(in_process_service& service, wire::response id, std::int32_t status = wire::status::ok) {
  service.answer(answer_of(id, wire::response_header_bytes, status));
}
inline void answer_local_node(in_process_service& service, std::uint32_t node) {
  auto bytes = answer_of(wire::response::local_get, wire::local_get_response::bytes);
  put(bytes.data() + wire::local_get_response::node, node);
  service.answer(bytes);
}
inline void answer_iteration(in_process_service& service, std::uint64_t handle) {
  auto bytes = answer_of(wire::response::iteration_initialize, wire::iteration_initialize_response::bytes);
  put(bytes.data() + wire::iteration_initialize_response::handle, handle);
  service.answer(bytes);
}
inline void answer_row(in_process_service& service, std::string_view group, std::uint32_t node,
                       std::uint32_t pid) {
  namespace w = wire::iteration_next_response;
  auto bytes = answer_of(wire::response::iteration_next, w::bytes);
  put_name(bytes.data() + w::name, group);
  put(bytes.data() + w::node, node);
  put(bytes.data() + w::pid, pid);
  service.answer(bytes);
}

/// A multicaster with nothing to write.
struct no_multicasts {
  [[nodiscard]] static std::uint64_t front_position() { return request_line::nowhere; }
  [[nodiscard]] static std::size_t front_bytes() { return 0; }
  static bool write_front() { return false; }
};

}  // namespace cpgring::cpg::test
