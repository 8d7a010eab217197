// The calls to an interceptor and the effect of its answers, seen by libqb's own client.
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <qb/qbipcc.h>
#include <sys/uio.h>
#include <cpgring/service.hpp>

#include "cpg/wire_format.hpp"
#include "service/events.hpp"

namespace cpgring::service {
namespace {

/// Gives fixed answers and records all calls. The records are read after the service has stopped.
class scripted final : public service_interceptor {
 public:
  result<void> attached(std::shared_ptr<service_controls> controls) override {
    this->controls = std::move(controls);
    return refuses ? result<void>(fail(errc::busy, "scripted says no")) : result<void>();
  }
  void detached() override { ended = true; }
  request_handling before_request(const service_client&, const service_request& request) override {
    requests.push_back(request.id);
    return answer;
  }
  void after_request(const service_client& from, const service_request&) override { group = from.group; }
  event_delivery before_event(const service_client&, const service_event&) override {
    ++events;
    return {};
  }
  void client_gone(std::uint64_t client) override { gone.push_back(client); }
  std::span<const simulated_member> members_of(std::string_view) override { return members; }

  std::shared_ptr<service_controls> controls;
  bool refuses = false, ended = false;
  request_handling answer = request_handling::carry_out;
  std::vector<simulated_member> members;
  std::vector<std::int32_t> requests;
  std::string group;
  int events = 0;
  std::vector<std::uint64_t> gone;
};

/// The error code in the answer to a join; nullopt: no answer within `wait_ms`.
std::optional<std::int32_t> join(qb_ipcc_connection_t* connection, std::int32_t wait_ms) {
  namespace w = wire::join_request;
  std::array<std::byte, w::bytes> request{};
  put(request.data() + wire::header_id, static_cast<std::int32_t>(wire::request::join));
  put(request.data() + wire::header_size, static_cast<std::int32_t>(request.size()));
  put_name(request.data() + w::name, "scripted");
  put(request.data() + w::pid, 77U);
  const iovec part{request.data(), request.size()};
  std::array<std::byte, wire::response_header_bytes> answer{};
  if (::qb_ipcc_sendv_recv(connection, &part, 1, answer.data(), answer.size(), wait_ms) < 0) {
    return std::nullopt;
  }
  std::int32_t error = 0;
  std::memcpy(&error, answer.data() + wire::header_error, sizeof error);
  return error;
}

struct interceptor : ::testing::Test {
  std::shared_ptr<scripted> script = std::make_shared<scripted>();

  embedded_service_options options() {
    embedded_service_options o;
    o.interceptor = script;
    return o;
  }
  static qb_ipcc_connection_t* connect(const embedded_service& service) {
    return ::qb_ipcc_connect(service.name().c_str(), 65536);
  }
};

TEST_F(interceptor, is_called_in_order_until_the_end_of_the_service) {
  script->members = {{2, 5, reason::none}, {3, 1, reason::none}};
  {
    embedded_service service(options());
    auto* const c = connect(service);
    ASSERT_NE(c, nullptr);
    EXPECT_EQ(join(c, 60000), wire::status::ok);
    std::vector<std::byte> event(4096);
    ASSERT_GT(::qb_ipcc_event_recv(c, event.data(), event.size(), 60000), 0);
    std::uint32_t members = 0;
    std::memcpy(&members, event.data() + wire::configuration_event::members, sizeof members);
    EXPECT_EQ(members, 3U) << "the client and two made-up members";
    ASSERT_TRUE(script->controls->run([this] { script->controls->hang_up(1, "the test says so"); }));
    while (service.stats().connections != 0) {
      std::this_thread::yield();
    }
    ::qb_ipcc_disconnect(c);
  }
  EXPECT_EQ(script->requests, std::vector<std::int32_t>{0});
  EXPECT_EQ(script->group, "scripted");
  EXPECT_EQ(script->events, 1);
  EXPECT_EQ(script->gone, std::vector<std::uint64_t>{1});
  EXPECT_TRUE(script->ended);
  EXPECT_EQ(script->controls->run([] {}).error(), errc::stopped)
      << "controls kept beyond the end of the service";
  script->controls->show_ring();
}

TEST_F(interceptor, can_refuse_or_drop_requests) {
  embedded_service service(options());
  auto* const c = connect(service);
  ASSERT_NE(c, nullptr);
  ASSERT_TRUE(script->controls->run([this] { script->answer = request_handling::try_again; }));
  EXPECT_EQ(join(c, 60000), wire::status::try_again);
  ASSERT_TRUE(script->controls->run([this] { script->answer = request_handling::ignore; }));
  EXPECT_EQ(join(c, 100), std::nullopt);
  service.stop();
  ::qb_ipcc_disconnect(c);
}

TEST_F(interceptor, can_refuse_to_attach_to_a_service) {
  script->refuses = true;
  const auto refused = embedded_service::create(options());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::busy);
  EXPECT_EQ(refused.error().message(), "scripted says no");
  EXPECT_FALSE(script->ended);
}

TEST_F(interceptor, can_pause_the_service_while_tasks_still_run) {
  embedded_service service(options());
  auto* const c = connect(service);
  ASSERT_NE(c, nullptr);
  ASSERT_TRUE(script->controls->run([this] { script->controls->pause(std::chrono::hours(1)); }));
  EXPECT_EQ(join(c, 100), std::nullopt);
  EXPECT_EQ(service.stats().requests, 0U);
  ASSERT_TRUE(script->controls->run([this] { script->controls->resume(); }));
  while (service.stats().requests == 0) {
    std::this_thread::yield();
  }
  std::vector<std::uint64_t> clients;
  ASSERT_TRUE(script->controls->run([&] { clients = script->controls->clients_of("scripted"); }));
  EXPECT_EQ(clients, std::vector<std::uint64_t>{1});
  service.stop();
  ::qb_ipcc_disconnect(c);
}

}  // namespace
}  // namespace cpgring::service
