// When an injected fault occurs: determined by the seed, and by changes of the faults at run time.
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;
using cpgring::testing::fault_injector;
using cpgring::testing::service_faults;

/// Runs one client at a time against a service with these faults. Returns the faults that the service logged.
std::vector<std::string> committed_by(const service_faults& faults) {
  std::mutex lock;
  std::vector<std::string> log;
  embedded_service_options o;
  o.interceptor = fault_injector::create(faults).value();
  o.log = [&](log_level, std::string_view text) {
    const std::lock_guard guard(lock);
    if (text.find("injected fault, client") != std::string_view::npos) {
      log.emplace_back(text);
    }
  };
  embedded_service service(o);
  engine loop;
  for (int i = 0; i < 30; ++i) {
    witness a;
    handle_options h;
    h.service = service.name();
    h.group =
        fmt::format("round {}", i);  // the service may not have noticed yet that the previous client is gone
    h.ring_bytes = 65536;
    a.self = *loop.open(h, a.record());
    const auto until = [&](const std::function<bool()>& condition) {
      const auto end = std::chrono::steady_clock::now() + patience;
      while (!condition() && !a.is(handle_state::lost)) {
        ASSERT_LT(std::chrono::steady_clock::now(), end);
        static_cast<void>(loop.dispatch(mode::blocking, budget{1, 0, 5ms}));
      }
    };
    until([&] { return a.views.size() >= 2 && a.is(handle_state::joined); });
    for (std::size_t k = 1; k <= 20 && !a.is(handle_state::lost); ++k) {
      // Refused while the service stalls.
      until([&] { return a.self.multicast("one at a time").has_value(); });
      until([&] { return a.messages.size() == k; });
    }
    if (!a.is(handle_state::lost)) {
      a.self.close();
      until([&] { return a.is(handle_state::closed); });
    }
  }
  service.stop();
  return log;
}

TEST(injected_faults_choices, are_the_same_with_the_same_seed) {
  if (!world::embedded()) {
    GTEST_SKIP() << "only the embedded service injects faults";
  }
  service_faults breaking;
  breaking.torn_frame = breaking.lying_frame = {0.02};
  breaking.hang_up = {0.01};
  breaking.late_doorbell = {0.2};
  breaking.late_doorbell_max = 1ms;
  breaking.try_again = {0.3};
  service_faults moving;
  moving.crowd = {0.2};
  moving.crowd_members = 30;
  moving.try_again = {0.3};
  moving.stall = {0.01};
  moving.stall_for = 1ms;
  for (auto faults : {breaking, moving}) {
    faults.seed = 7;
    const auto first = committed_by(faults), second = committed_by(faults);
    EXPECT_GT(first.size(), 50U);
    EXPECT_EQ(first, second);
    faults.seed = 8;
    EXPECT_NE(first, committed_by(faults));
  }
}

TEST(injected_faults_choices, may_be_changed_from_the_log_callback_and_by_several_threads) {
  if (!world::embedded()) {
    GTEST_SKIP() << "only the embedded service injects faults";
  }
  std::atomic<int> reported{0};
  embedded_service_options o;
  const auto injector = fault_injector::create().value();
  o.interceptor = injector;
  service_faults f;
  f.try_again = {.probability = 1, .after = 0, .at_most = 1};
  o.log = [&](log_level, std::string_view text) {
    if (text.find("TRY_AGAIN") != std::string_view::npos && ++reported <= 3) {
      EXPECT_TRUE(injector->inject(f));
    }
  };
  embedded_service one(o);
  ASSERT_TRUE(injector->inject(f));
  engine loop;
  witness a;
  handle_options h;
  h.service = one.name();
  h.group = "g";
  h.ring_bytes = 65536;
  a.self = *loop.open(h, a.record());
  std::vector<std::thread> others;
  while (!a.is(handle_state::joined)) {
    ASSERT_TRUE(loop.dispatch(mode::blocking, budget{1, 0, 5ms}));
  }
  EXPECT_EQ(reported, 4) << "one fault, and one more for each of three injections";
  for (int t = 0; t < 4; ++t) {
    others.emplace_back([&injector, t] {
      for (int i = 0; i < 200; ++i) {
        service_faults mine;
        mine.seed = static_cast<std::uint64_t>(t * 1000 + i);
        mine.crowd = {0.5};
        mine.late_doorbell = {0.5};
        EXPECT_TRUE(injector->inject(i % 2 == 0 ? mine : service_faults{}));
      }
    });
  }
  for (int i = 0; i < 500; ++i) {
    static_cast<void>(a.self.multicast("x"));
    static_cast<void>(loop.dispatch(mode::one_nonblocking));
  }
  for (auto& other : others) {
    other.join();
  }
  ASSERT_TRUE(injector->inject({}));
  a.all.clear();
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!a.self.multicast("end") && std::chrono::steady_clock::now() < end) {
    ASSERT_TRUE(loop.dispatch(mode::blocking, budget{1, 0, 5ms}));
  }
  while ((a.messages.empty() || a.messages.back() != "end") && std::chrono::steady_clock::now() < end) {
    ASSERT_TRUE(loop.dispatch(mode::blocking, budget{1, 0, 5ms}));
  }
  EXPECT_EQ(a.messages.back(), "end");
}

}  // namespace
}  // namespace cpgring::test
