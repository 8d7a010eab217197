// The fault injector between its caller and a service: accepted and refused faults, and its one service.
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <cpgring/service.hpp>
#include <cpgring/testing.hpp>

namespace cpgring::testing {
namespace {

using ::testing::HasSubstr;

/// Records all calls; runs tasks at once instead of on a service's thread.
class fake_controls final : public service_controls {
 public:
  result<void> run(std::function<void()> task) override {
    ++runs;
    task();
    return {};
  }
  [[nodiscard]] std::uint32_t node_id() const noexcept override { return 1; }
  void log(log_level, std::string_view text) override { said.emplace_back(text); }
  [[nodiscard]] std::vector<std::uint64_t> clients_of(std::string_view) const override { return clients; }
  void hang_up(std::uint64_t client, std::string_view) override { hung_up.push_back(client); }
  void pause(std::chrono::milliseconds how_long) override { paused_ms += how_long.count(); }
  void resume() override { ++went_on; }
  void release_doorbells() override { ++released; }
  void show_view(std::string_view, std::span<const simulated_member> joined,
                 std::span<const simulated_member> left) override {
    views.emplace_back(joined.size(), left.size());
  }
  void show_ring() override { ++rings; }

  int runs = 0, went_on = 0, released = 0, rings = 0;
  long paused_ms = 0;
  std::vector<std::uint64_t> clients{3}, hung_up;
  std::vector<std::pair<std::size_t, std::size_t>> views;
  std::vector<std::string> said;
};

constexpr service_client client{3, "g", false};

TEST(fault_injector, refuses_invalid_faults) {
  service_faults wrong;
  wrong.stall = {2};
  const auto none = fault_injector::create(wrong);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), errc::invalid_param);
  EXPECT_THAT(none.error().message(), HasSubstr("stall"));
  const auto injector = fault_injector::create().value();
  const auto refused = injector->inject(wrong);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::invalid_param);
}

TEST(fault_injector, accepts_faults_before_its_service_starts_but_not_after_its_end) {
  const auto injector = fault_injector::create().value();
  service_faults f;
  f.try_again = {1};
  EXPECT_TRUE(injector->inject(f)) << "applies from the start of the service";
  embedded_service_options o;
  o.interceptor = injector;
  {
    embedded_service service(o);
    EXPECT_TRUE(injector->inject({}));
    service.stop();
    const auto late = injector->inject({});
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error(), errc::stopped);
  }
  EXPECT_EQ(injector->inject({}).error(), errc::stopped);
  const embedded_service another(o);
  EXPECT_TRUE(injector->inject({}));
}

TEST(fault_injector, belongs_to_one_service_at_a_time) {
  embedded_service_options o;
  o.interceptor = fault_injector::create().value();
  const embedded_service one(o);
  const auto two = embedded_service::create(o);
  ASSERT_FALSE(two);
  EXPECT_EQ(two.error(), errc::busy);
  EXPECT_THAT(two.error().message(), HasSubstr("another service"));
}

TEST(fault_injector, refuses_use_in_a_forked_child) {
  embedded_service_options o;
  const auto injector = fault_injector::create().value();
  o.interceptor = injector;
  const embedded_service service(o);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto refused = injector->inject({});
    ::_exit(!refused && refused.error() == errc::forked ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(fault_injector, acts_only_through_the_controls) {
  service_faults f;
  f.crowd = f.stall = f.late_doorbell = f.hang_up_sender = {1};
  f.crowd_members = 20;
  f.stall_for = std::chrono::milliseconds(7);
  const auto injector = fault_injector::create(f).value();
  const auto controls = std::make_shared<fake_controls>();
  ASSERT_TRUE(injector->attached(controls));
  EXPECT_EQ(injector->before_request(client, {.id = 2}), request_handling::carry_out);
  injector->after_request(client, {.id = 2});
  EXPECT_EQ(controls->views, (std::vector<std::pair<std::size_t, std::size_t>>{{20, 0}}));
  EXPECT_EQ(controls->rings, 1);
  EXPECT_EQ(controls->paused_ms, 7);
  EXPECT_EQ(injector->members_of("g").size(), 20U);
  EXPECT_EQ(injector->members_of("another").size(), 0U);
  EXPECT_EQ(injector->nodes().size(), 8U);
  const std::vector<std::byte> event(200);
  const auto how = injector->before_event(client, {event, {}});
  EXPECT_GT(how.doorbell_after.count(), 0);
  EXPECT_FALSE(how.instead);
  injector->after_request(client, {.id = 12, .refusable = true, .passed_on_fragment = true});
  EXPECT_EQ(controls->hung_up, std::vector<std::uint64_t>{3});
  EXPECT_EQ(controls->views.size(), 1U) << "no crowd for a client that was hung up on";
  ASSERT_TRUE(injector->inject({}));
  EXPECT_EQ(controls->went_on, 1);
  EXPECT_EQ(controls->released, 1);
  EXPECT_EQ(controls->views.back(), (std::pair<std::size_t, std::size_t>{0, 20}));
  EXPECT_EQ(controls->rings, 2);
  EXPECT_EQ(injector->stats().total(), 2U + 2U + 1U + 1U);
  EXPECT_EQ(controls->said.front(), "injected fault, client 3: 20 made-up members join, 0 leave");
  EXPECT_EQ(controls->said.size(), 6U);
  injector->detached();
}

TEST(fault_injector, changes_bytes_only_when_configured) {
  service_faults f;
  f.torn_frame = {.probability = 1, .after = 1};
  const auto injector = fault_injector::create(f).value();
  ASSERT_TRUE(injector->attached(std::make_shared<fake_controls>()));
  const std::vector<std::byte> head(150), payload(50);
  EXPECT_FALSE(injector->before_event(client, {head, payload}).instead);
  const auto torn = injector->before_event(client, {head, payload}).instead;
  ASSERT_TRUE(torn);
  EXPECT_GE(torn->size(), 1U);
  EXPECT_LE(torn->size(), 150U) << "at most three quarters";
}

}  // namespace
}  // namespace cpgring::testing
