#include "dispatch/mode_policy.hpp"

#include <gtest/gtest.h>

namespace {

using cpgring::budget;
using cpgring::mode;
using cpgring::dispatch::mode_policy;
using namespace std::chrono_literals;

const cpgring::base::time_point start{};

TEST(mode_policy, one_takes_exactly_one_event_and_sleeps_until_it_arrives) {
  mode_policy p(mode::one, {}, start);
  EXPECT_TRUE(p.sleeps());
  EXPECT_EQ(p.events_left(), 1U);
  EXPECT_FALSE(p.content());
  p.count(1, 64);
  EXPECT_TRUE(p.content());
  EXPECT_TRUE(p.used_up(start));
}

TEST(mode_policy, one_nonblocking_takes_one_event_and_does_not_sleep) {
  mode_policy p(mode::one_nonblocking, {}, start);
  EXPECT_FALSE(p.sleeps());
  EXPECT_TRUE(p.try_again_when_empty());
  EXPECT_EQ(p.events_left(), 1U);
}

TEST(mode_policy, all_takes_only_waiting_events_and_never_sleeps) {
  mode_policy p(mode::all, {}, start);
  EXPECT_FALSE(p.sleeps());
  EXPECT_TRUE(p.only_what_waits());
  p.count(1000, 64000);
  EXPECT_FALSE(p.used_up(start + 1h));
}

TEST(mode_policy, blocking_never_ends_by_itself) {
  mode_policy p(mode::blocking, {}, start);
  p.count(1000000, 1);
  EXPECT_TRUE(p.sleeps());
  EXPECT_FALSE(p.content());
  EXPECT_FALSE(p.used_up(start + 1h));
}

TEST(mode_policy, budgets_of_count_bytes_and_time_end_a_call) {
  mode_policy count(mode::all, budget{10, 0, 0ns}, start);
  count.count(9, 0);
  EXPECT_FALSE(count.used_up(start));
  count.count(1, 0);
  EXPECT_TRUE(count.used_up(start));

  mode_policy bytes(mode::blocking, budget{0, 100, 0ns}, start);
  bytes.count(1, 99);
  EXPECT_FALSE(bytes.used_up(start));
  bytes.count(1, 5);
  EXPECT_TRUE(bytes.used_up(start));

  mode_policy time(mode::blocking, budget{0, 0, 1ms}, start);
  EXPECT_FALSE(time.used_up(start + 999us));
  EXPECT_TRUE(time.used_up(start + 1ms));
}

TEST(mode_policy, a_time_budget_alone_allows_at_least_one_event) {
  mode_policy p(mode::all, budget{0, 0, 1ms}, start);
  EXPECT_FALSE(p.used_up(start + 1s));
  p.count(1, 0);
  EXPECT_TRUE(p.used_up(start + 1s));
}

}  // namespace
