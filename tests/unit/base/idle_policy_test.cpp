// The window of adaptive: it opens where looking would have met what came, and closes where it would not.
#include <thread>

#include <gtest/gtest.h>

#include "base/idle_policy.hpp"

namespace cpgring::base {
namespace {

struct idle_window : testing::Test {
  void SetUp() override {
    if (std::thread::hardware_concurrency() < 2) {
      GTEST_SKIP() << "with one CPU nobody looks: whoever is waited for needs it";
    }
  }
  idle_policy policy{idle::adaptive, nanoseconds(100000)};
};

TEST_F(idle_window, opens_to_the_longest_where_all_comes_soon) {
  EXPECT_EQ(policy.window().count(), 0) << "nothing is known yet";
  for (int i = 0; i < 20; ++i) {
    policy.slept(nanoseconds(60000));
  }
  EXPECT_EQ(policy.window().count(), 100000);
}

TEST_F(idle_window, closes_where_all_comes_late) {
  for (int i = 0; i < 20; ++i) {
    policy.slept(nanoseconds(60000));
  }
  for (int i = 0; i < 20; ++i) {
    policy.slept(nanoseconds(150000));
  }
  EXPECT_EQ(policy.window().count(), 0);
}

// With the looking judged apart from the sleep behind it, half a window in vain took back what the sleep then gave, and it never opened.
TEST_F(idle_window, a_wait_that_began_with_looking_is_one_wait) {
  for (int i = 0; i < 20; ++i) {
    const auto looked = policy.window() / 2;
    policy.slept(looked + nanoseconds(40000));
  }
  EXPECT_EQ(policy.window().count(), 100000);
}

TEST_F(idle_window, of_the_other_strategies_is_none) {
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
