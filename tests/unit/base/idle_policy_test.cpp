// When `adaptive` polls, for how long, and what that may cost. Times are passed in.
#include "base/idle_policy.hpp"

#include <thread>

#include <gtest/gtest.h>

namespace cpgring::base {
namespace {

constexpr nanoseconds us(int count) { return std::chrono::microseconds(count); }
constexpr nanoseconds ms(int count) { return std::chrono::milliseconds(count); }

struct idle_policies : ::testing::Test {
  void SetUp() override {
    if (std::thread::hardware_concurrency() < 2) {
      GTEST_SKIP() << "with one CPU the policy never polls: the awaited thread needs the CPU";
    }
  }
  /// A sleep costs 10 us, so the longest poll is 20 us.
  void know_the_cost_of_a_sleep() {
    for (int i = 0; i < 8; ++i) {
      policy.sleep_cost(us(10));
    }
  }
  /// An interval passes in which the thread used `cpu`.
  void interval(nanoseconds cpu, std::uint64_t preemptions = 0, std::uint64_t stolen = 0) {
    now += idle_policy::interval;
    total += cpu;
    policy.sample(now, {total, preemptions, stolen});
  }
  void wait(int times, nanoseconds length, bool slept = true, bool soon = false) {
    for (int i = 0; i < times; ++i) {
      policy.waited(soon, length, slept);
    }
  }
  /// Ready to poll: short waits, and a budget of 5 ms.
  void begin() {
    know_the_cost_of_a_sleep();
    interval(nanoseconds(0));
    interval(ms(80));
    wait(idle_policy::waits_kept, us(15));
  }

  idle_policy policy{idle::adaptive, 0.1};
  time_point now{std::chrono::seconds(1000)};
  nanoseconds total{0};
};

TEST_F(idle_policies, do_not_poll_before_anything_is_known) {
  EXPECT_EQ(policy.window(false), us(0));
  EXPECT_TRUE(policy.measures(now));
}

TEST_F(idle_policies, poll_twice_as_long_as_a_sleep_costs) {
  begin();
  EXPECT_EQ(policy.window(false), us(20));
}

TEST_F(idle_policies, follow_a_change_of_the_cost_of_a_sleep) {
  begin();
  for (int i = 0; i < 60; ++i) {
    policy.sleep_cost(us(4));
  }
  EXPECT_LT(policy.window(false), us(9));
  for (int i = 0; i < 200; ++i) {
    policy.sleep_cost(ms(7));
  }
  EXPECT_LE(policy.window(false), us(100)) << "a measurement that went wrong does not open the window";
}

TEST_F(idle_policies, poll_while_half_of_the_last_waits_ended_within_the_longest_poll) {
  begin();
  wait(8, us(500));
  EXPECT_EQ(policy.window(false), us(20));
  wait(1, us(500));
  EXPECT_EQ(policy.window(false), us(0));
  wait(8, us(15));
  EXPECT_EQ(policy.window(false), us(20));
}

TEST_F(idle_policies, do_not_count_the_wake_up_as_a_part_of_the_wait) {
  begin();
  wait(16, us(30), true);
  EXPECT_TRUE(policy.polls_pay(false)) << "20 us and a wake-up of 10 us";
  wait(16, us(31), true);
  EXPECT_FALSE(policy.polls_pay(false));
  wait(16, us(30), false);
  EXPECT_FALSE(policy.polls_pay(false)) << "ended by a poll, without a wake-up";
}

TEST_F(idle_policies, judge_waits_for_something_near_by_a_history_of_their_own) {
  begin();
  EXPECT_EQ(policy.window(true), us(0));
  wait(16, us(15), true, true);
  wait(16, us(500));
  EXPECT_EQ(policy.window(true), us(20));
  EXPECT_EQ(policy.window(false), us(0));
}

TEST_F(idle_policies, spend_a_tenth_of_the_time_for_events_on_polls_in_vain) {
  begin();
  interval(ms(20));
  nanoseconds spent{0};
  while (policy.window(false) > us(0)) {
    spent += policy.window(false);
    policy.polled_in_vain(policy.window(false));
  }
  EXPECT_EQ(spent, ms(2));
  interval(ms(20));
  EXPECT_EQ(policy.window(false), us(20)) << "a new interval";
}

TEST_F(idle_policies, do_not_count_polls_in_vain_as_time_for_events) {
  begin();
  policy.polled_in_vain(ms(4));
  interval(ms(14));
  nanoseconds spent{0};
  while (policy.window(false) > us(0)) {
    spent += policy.window(false);
    policy.polled_in_vain(policy.window(false));
  }
  EXPECT_EQ(spent, ms(1));
}

TEST_F(idle_policies, never_spend_more_than_a_twentieth_of_a_cpu) {
  begin();
  interval(ms(100));
  nanoseconds spent{0};
  while (policy.window(false) > us(0)) {
    spent += policy.window(false);
    policy.polled_in_vain(policy.window(false));
  }
  EXPECT_EQ(spent, ms(5));
}

TEST_F(idle_policies, scale_the_budget_after_a_long_pause) {
  begin();
  now += std::chrono::seconds(10) - idle_policy::interval;
  interval(ms(100));  // 1 ms in each interval
  nanoseconds spent{0};
  while (policy.window(false) > us(0)) {
    spent += policy.window(false);
    policy.polled_in_vain(policy.window(false));
  }
  EXPECT_NEAR(static_cast<double>(spent.count()), 100000.0, 1000.0);
}

TEST_F(idle_policies, do_not_poll_in_the_interval_after_a_preemption) {
  begin();
  interval(ms(50), 1);
  EXPECT_EQ(policy.window(false), us(0));
  interval(ms(50), 1);
  EXPECT_EQ(policy.window(false), us(20));
}

TEST_F(idle_policies, do_not_poll_in_the_interval_after_a_hypervisor_took_the_cpu) {
  begin();
  interval(ms(50), 0, 3);
  EXPECT_EQ(policy.window(false), us(0));
  interval(ms(50), 0, 3);
  EXPECT_EQ(policy.window(false), us(20));
  now += idle_policy::interval;
  total += ms(50);
  policy.sample(now, {total, 0, std::nullopt});
  EXPECT_EQ(policy.window(false), us(20)) << "not read is no change";
}

TEST_F(idle_policies, measure_once_in_an_interval) {
  begin();
  EXPECT_FALSE(policy.measures(now));
  EXPECT_FALSE(policy.measures(now + idle_policy::interval - us(1)));
  EXPECT_TRUE(policy.measures(now + idle_policy::interval));
}

TEST_F(idle_policies, never_poll_with_another_strategy_or_without_a_share) {
  for (const auto& [strategy, share] : {std::pair{idle::block, 0.1}, std::pair{idle::spin, 0.1},
                                        std::pair{idle::yield, 0.1}, std::pair{idle::adaptive, 0.0}}) {
    policy.~idle_policy();
    new (&policy) idle_policy(strategy, share);
    begin();
    EXPECT_EQ(policy.window(false), us(0)) << to_string(strategy);
    EXPECT_FALSE(policy.measures(now + ms(500))) << to_string(strategy);
    EXPECT_EQ(policy.sleeps(), strategy == idle::block || strategy == idle::adaptive);
    EXPECT_EQ(policy.yields(), strategy == idle::yield);
  }
}

}  // namespace
}  // namespace cpgring::base
