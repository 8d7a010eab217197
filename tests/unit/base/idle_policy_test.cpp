// The spin window of idle::adaptive: it grows while events arrive within it, and shrinks otherwise.
#include <thread>

#include <gtest/gtest.h>

#include "base/idle_policy.hpp"

namespace cpgring::base {
namespace {

struct idle_window : ::testing::Test {
  void SetUp() override {
    if (std::thread::hardware_concurrency() < 2) {
      GTEST_SKIP() << "with one CPU the policy never spins: the awaited thread needs the CPU";
    }
  }
  idle_policy policy{idle::adaptive, nanoseconds(100000)};
};

TEST_F(idle_window, grows_to_its_maximum_when_all_waits_are_short) {
  EXPECT_EQ(policy.window().count(), 0) << "no wait was recorded yet";
  for (int i = 0; i < 20; ++i) {
    policy.slept(nanoseconds(60000));
  }
  EXPECT_EQ(policy.window().count(), 100000);
}

TEST_F(idle_window, shrinks_to_zero_when_all_waits_are_long) {
  for (int i = 0; i < 20; ++i) {
    policy.slept(nanoseconds(60000));
  }
  for (int i = 0; i < 20; ++i) {
    policy.slept(nanoseconds(150000));
  }
  EXPECT_EQ(policy.window().count(), 0);
}

// If the spinning is judged apart from the following sleep, half a window spun in vain takes back what the
// sleep adds, and the window never opens.
TEST_F(idle_window, spinning_and_the_following_sleep_count_as_one_wait) {
  for (int i = 0; i < 20; ++i) {
    const auto spun = policy.window() / 2;
    policy.slept(spun + nanoseconds(40000));
  }
  EXPECT_EQ(policy.window().count(), 100000);
}

TEST_F(idle_window, is_zero_for_all_other_strategies) {
  for (const idle strategy : {idle::block, idle::spin, idle::yield}) {
    idle_policy other(strategy);
    other.slept(nanoseconds(10));
    EXPECT_EQ(other.window().count(), 0) << to_string(strategy);
    EXPECT_EQ(other.window_for_soon().count(), 0) << to_string(strategy);
    EXPECT_EQ(other.sleeps(), strategy == idle::block);
    EXPECT_EQ(other.yields(), strategy == idle::yield);
  }
}

}  // namespace
}  // namespace cpgring::base
