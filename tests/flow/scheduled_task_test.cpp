// Scheduled tasks of an engine: at(), after(), every() and cancel(). tests/unit/delivery/alarms_test.cpp has
// intervals, missed runs and tasks that throw.
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

class flow_scheduled : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_scheduled, ::testing::ValuesIn(backends_here()), backend_name);

TEST_P(flow_scheduled, runs_at_its_time_and_not_before) {
  world w(GetParam());
  const auto when = steady_clock::now() + 30ms;
  std::optional<steady_clock::time_point> ran, ran_late;
  ASSERT_TRUE(w.loop().at(when, [&] { ran = steady_clock::now(); }));
  ASSERT_TRUE(w.loop().at(when - 1h, [&] { ran_late = steady_clock::now(); }));
  ASSERT_TRUE(w.until([&] { return ran && ran_late; }));
  EXPECT_GE(*ran, when);
  EXPECT_LE(*ran_late, *ran) << "a time in the past runs at once";
}

TEST_P(flow_scheduled, never_runs_after_cancel_and_frees_its_captures) {
  world w(GetParam());
  bool ran = false;
  auto held = std::make_shared<int>(1);
  auto once = w.loop().after(20ms, [&ran, held] { ran = true; });
  auto again = w.loop().every(20ms, [&ran, held] { ran = true; });
  ASSERT_TRUE(once && again);
  once->cancel();
  ASSERT_TRUE(w.until([] { return true; }));
  again->cancel();
  again->cancel();
  const auto later = steady_clock::now() + 60ms;
  ASSERT_TRUE(w.until([&] { return steady_clock::now() > later; }));
  EXPECT_FALSE(ran);
  EXPECT_EQ(held.use_count(), 1);
  scheduled_task().cancel();
}

TEST_P(flow_scheduled, can_be_cancelled_by_another_thread) {
  world w(GetParam());
  ASSERT_TRUE(w.loop().start());
  std::atomic<int> runs{0};
  auto made = w.loop().every(1ms, [&] { ++runs; });
  ASSERT_TRUE(made);
  ASSERT_TRUE(eventually([&] { return runs >= 3; }));
  made->cancel();
  std::atomic<bool> passed{false};
  ASSERT_TRUE(w.loop().post([&] { passed = true; }));  // runs after the cancellation
  ASSERT_TRUE(eventually([&] { return passed.load(); }));
  const int then = runs;
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(runs, then);
}

TEST_P(flow_scheduled, is_freed_with_the_engine_although_its_scheduled_task_lives_on) {
  auto held = std::make_shared<int>(1);
  scheduled_task stays;
  {
    world w(GetParam());
    auto made = w.loop().every(1h, [held] {});
    ASSERT_TRUE(made);
    stays = *made;
    ASSERT_TRUE(w.until([] { return true; }));
    const auto refused = w.loop().every(0ns, [] {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), errc::invalid_param);
    EXPECT_EQ(w.loop().after(-1ns, [] {}).error(), errc::invalid_param);
  }
  EXPECT_EQ(held.use_count(), 1);
  stays.cancel();
}

}  // namespace
}  // namespace cpgring::test
