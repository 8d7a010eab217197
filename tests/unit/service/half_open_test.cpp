// How many handshakes may be under way, and for how long.
#include "service/half_open.hpp"

#include <gtest/gtest.h>

namespace {

using namespace cpgring;
using namespace std::chrono_literals;

class half_open : public testing::Test {
 protected:
  /// As the gate does it: whoever must go goes.
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

TEST_F(half_open, the_oldest_of_a_user_goes_when_its_share_is_full) {
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

TEST_F(half_open, strangers_of_any_number_of_users_leave_room_for_the_others) {
  for (uid_t uid = 1000; uid < 3000; ++uid) {
    begin(uid, true);
  }
  EXPECT_EQ(table.size(), table.strangers_max);
  EXPECT_FALSE(begin(0));
  EXPECT_TRUE(begin(5000, true));
  EXPECT_EQ(table.size(), table.strangers_max + 1);
}

TEST_F(half_open, there_is_a_limit_for_all) {
  for (uid_t uid = 0; uid < 3000; ++uid) {
    begin(uid);
  }
  EXPECT_EQ(table.size(), table.all_max);
}

TEST_F(half_open, each_has_its_own_time) {
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

TEST_F(half_open, the_end_of_one_that_it_does_not_know_is_nothing) {
  begin(0);
  table.end(99);
  EXPECT_EQ(table.size(), 1U);
}

}  // namespace
