// Limits on the number and duration of handshakes in progress.
#include "service/half_open.hpp"

#include <gtest/gtest.h>

namespace {

using namespace cpgring;
using namespace std::chrono_literals;

class half_open : public ::testing::Test {
 protected:
  /// Begins a handshake as the gate does; ends and returns the one evicted for it.
  std::optional<std::int32_t> begin(uid_t uid, bool stranger = false) {
    const auto goes = table.begin(next++, uid, stranger, now);
    if (goes) {
      table.end(*goes);
    }
    return goes;
  }

  service::half_open table;
  std::int32_t next = 10;
  base::time_point now{};
};

TEST_F(half_open, evicts_the_oldest_of_a_user_above_its_share) {
  for (std::size_t i = 0; i < table.uid_max; ++i) {
    ASSERT_FALSE(begin(0));
  }
  EXPECT_FALSE(begin(1));
  EXPECT_EQ(begin(0), 10);
  EXPECT_EQ(begin(0), 11);
  table.end(12);
  EXPECT_FALSE(begin(0));
  EXPECT_EQ(table.size(), table.uid_max + 1);
}

TEST_F(half_open, limits_all_strangers_together) {
  for (uid_t uid = 1000; uid < 3000; ++uid) {
    begin(uid, true);
  }
  EXPECT_EQ(table.size(), table.strangers_max);
  EXPECT_FALSE(begin(0));
  EXPECT_TRUE(begin(5000, true));
  EXPECT_EQ(table.size(), table.strangers_max + 1);
}

TEST_F(half_open, limits_the_total) {
  for (uid_t uid = 0; uid < 3000; ++uid) {
    begin(uid);
  }
  EXPECT_EQ(table.size(), table.all_max);
}

TEST_F(half_open, times_each_handshake_from_its_begin) {
  EXPECT_FALSE(table.due());
  begin(0);
  now += 2s;
  begin(0);
  EXPECT_EQ(table.oldest(), 10);
  EXPECT_EQ(table.due(), base::time_point{} + table.patience);
  table.end(10);
  EXPECT_EQ(table.oldest(), 11);
  EXPECT_EQ(table.due(), now + table.patience);
  table.end(11);
  EXPECT_FALSE(table.oldest());
}

TEST_F(half_open, forgive_oldest_restarts_its_time_behind_the_others) {
  begin(0);
  now += 2s;
  begin(0);
  now += 3s;
  table.extend_oldest(now);
  EXPECT_EQ(table.oldest(), 11);
  table.end(11);
  EXPECT_EQ(table.oldest(), 10);
  EXPECT_EQ(table.due(), now + table.patience);
}

TEST_F(half_open, ignores_the_end_of_an_unknown_handshake) {
  begin(0);
  table.end(99);
  EXPECT_EQ(table.size(), 1U);
}

}  // namespace
