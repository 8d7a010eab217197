// Which user may run the service of a handle: root, the client's own user, and the user in
// handle_options::service_uid.
#include <unistd.h>

#include <memory>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "support/as_uid.hpp"
#include "support/command.hpp"
#include "support/hostile_service.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uid_t plain = 1000;

struct flow_service_uid : ::testing::Test {
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "needs root, to run a service as another user";
    }
  }
  static std::unique_ptr<hostile_service> serve_as(uid_t uid, std::string name = {}) {
    const as_uid who(uid);
    return std::make_unique<hostile_service>(nullptr, std::move(name));
  }
  void open(witness& into, const std::string& service, std::function<void(handle_options&)> adjust = {}) {
    handle_options o = w.options(world::fresh_group());
    o.service = service;
    if (adjust) {
      adjust(o);
    }
    auto opened = w.loop().open(o, into.record());
    ASSERT_TRUE(opened) << opened.error().message();
    into.self = *opened;
  }
  void expect_message(witness& one) {
    ASSERT_TRUE(w.until([&] { return one.is(handle_state::joined) || one.is(handle_state::lost); }));
    ASSERT_TRUE(one.is(handle_state::joined)) << one.causes.back().message();
    const auto before = one.messages.size();
    ASSERT_TRUE(one.self.multicast("heard"));
    EXPECT_TRUE(w.until([&] { return one.messages.size() > before; }));
  }

  world w;
};

TEST_F(flow_service_uid, of_a_plain_user_is_refused_until_it_is_named) {
  const auto service = serve_as(plain);
  witness refused, allowed;
  open(refused, service->name());
  ASSERT_TRUE(w.until([&] { return refused.is(handle_state::lost); }));
  EXPECT_EQ(refused.causes.back(), errc::access);
  EXPECT_THAT(refused.causes.back().message(),
              AllOf(HasSubstr("uid 1000"), HasSubstr("uid 0"), HasSubstr("handle_options::service_uid"),
                    HasSubstr("--service-uid 1000")));
  EXPECT_TRUE(service->requests().empty());
  open(allowed, service->name(), [](handle_options& o) { o.service_uid = plain; });
  expect_message(allowed);
}

TEST_F(flow_service_uid, of_another_user_ends_a_supervised_handle_permanently) {
  auto service = serve_as(0);
  const std::string name = service->name();
  witness one;
  open(one, name, [](handle_options& o) {
    o.supervision.reconnect = true;
    o.supervision.backoff_min = o.supervision.backoff_max = std::chrono::milliseconds(1);
  });
  expect_message(one);
  service.reset();
  ASSERT_TRUE(w.until([&] { return one.is(handle_state::lost); }));
  service = serve_as(plain, name);
  ASSERT_TRUE(w.until([&] { return one.causes.back() == errc::access; }));
  EXPECT_TRUE(one.is(handle_state::lost));
  EXPECT_EQ(one.self.multicast("x").error(), errc::bad_handle)
      << "a handle that reconnects returns service_lost";
  ASSERT_TRUE(eventually([&] { return service->connects() == 1; }));
  // While another handle connects and gets a message, the first one does not connect again.
  witness other;
  open(other, name, [](handle_options& o) { o.service_uid = plain; });
  expect_message(other);
  EXPECT_EQ(service->connects(), 2U);
}

TEST_F(flow_service_uid, that_is_named_may_return_after_a_loss) {
  auto service = serve_as(0);
  const std::string name = service->name();
  witness one;
  open(one, name, [](handle_options& o) {
    o.service_uid = plain;
    o.supervision.reconnect = true;
    o.supervision.backoff_min = o.supervision.backoff_max = std::chrono::milliseconds(1);
  });
  expect_message(one);
  service.reset();
  ASSERT_TRUE(w.until([&] { return one.is(handle_state::lost); }));
  service = serve_as(plain, name);
  ASSERT_TRUE(w.until([&] { return one.is(handle_state::joined); }));
  expect_message(one);
}

/// Each command that connects refuses a service of a plain user, and accepts it with --service-uid.
TEST_F(flow_service_uid, is_an_option_of_each_command_that_connects) {
  const auto service = serve_as(plain);
  const std::vector<std::vector<std::string>> commands{
      {"send", "uid", "text"},
      {"groups"},
      {"listen", "uid", "--count", "1"},
      {"load", "--handles", "2", "--messages", "10", "--rate", "0"}};
  for (auto command : commands) {
    const bool listens = command.front() == "listen";
    command.insert(command.end(), {"--service", service->name()});
    const auto refused = cpgring_command(command);
    EXPECT_EQ(refused.status, 3) << command.front() << refused.err;
    EXPECT_THAT(refused.err, HasSubstr("--service-uid 1000")) << command.front();
    command.insert(command.end(), {"--service-uid", fmt::format("{}", plain)});
    if (!listens) {
      const auto allowed = cpgring_command(command);
      EXPECT_EQ(allowed.status, 0) << command.front() << allowed.err << allowed.out;
      continue;
    }
    child listener(cpgring_line(command));
    ASSERT_TRUE(eventually([&] {
      return service->with("uid", [](hostile_service::client& c) {
        c.send(message_event("uid", 5, "to whoever listens"));
      }) != 0;
    }));
    const auto allowed = listener.wait();
    EXPECT_EQ(allowed.status, 0) << allowed.err;
    EXPECT_EQ(allowed.out, "to whoever listens\n");
  }
  EXPECT_EQ(cpgring_command({"groups", "--service-uid", "4294967295"}).status, 2);
  EXPECT_EQ(cpgring_command({"groups", "--service-uid", "-1"}).status, 2);
}

}  // namespace
}  // namespace cpgring::test
