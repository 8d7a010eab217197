// Large messages of channels, chunk by chunk.
#include <gtest/gtest.h>

#include "channel/transfers.hpp"

namespace {

using namespace cpgring;
using channel::transfers;

constexpr member_address self{1, 1}, other{2, 1};

TEST(transfers, a_message_is_whole_after_its_last_chunk) {
  transfers t(self);
  t.first(other, 7, 1);
  EXPECT_TRUE(t.continues(other, 7, 1));
  EXPECT_FALSE(t.continues(other, 8, 1));
  EXPECT_FALSE(t.continues(self, 7, 1));
  EXPECT_TRUE(t.last(other, 7, 1));
  EXPECT_FALSE(t.last(other, 7, 1));
  EXPECT_TRUE(t.empty());
}

TEST(transfers, a_chunk_of_another_transfer_does_not_count) {
  transfers t(self);
  t.first(other, 7, 2);
  EXPECT_FALSE(t.continues(other, 7, 1));
  EXPECT_FALSE(t.last(other, 7, 1));
  EXPECT_TRUE(t.last(other, 7, 2));
}

TEST(transfers, an_addition_voids_all_of_its_channel_and_begins_the_own_one_again) {
  transfers t(self);
  const auto own = t.begin(7);
  t.first(self, 7, own);
  t.first(other, 7, 1);
  t.first(other, 8, 1);
  EXPECT_TRUE(t.added(7));
  EXPECT_FALSE(t.last(other, 7, 1));
  EXPECT_FALSE(t.last(self, 7, own));
  EXPECT_TRUE(t.last(other, 8, 1));
  const auto again = t.begin(7);
  EXPECT_GT(again, own);
  t.first(self, 7, again);
  EXPECT_TRUE(t.last(self, 7, again));
  EXPECT_FALSE(t.own(7));
}

TEST(transfers, an_own_one_of_which_nothing_was_delivered_does_not_begin_again) {
  transfers t(self);
  const auto own = t.begin(7);
  EXPECT_FALSE(t.added(7));
  t.first(self, 7, own);
  EXPECT_TRUE(t.last(self, 7, own));
}

TEST(transfers, an_addition_during_one_of_an_earlier_stay_does_not_begin_the_present_one_again) {
  transfers t(self);
  const auto earlier = t.begin(7);
  t.first(self, 7, earlier);
  t.give_up(7);  // left, and joined again, while the chunks are still under way
  const auto present = t.begin(7);
  EXPECT_FALSE(t.added(7));
  t.first(self, 7, present);
  EXPECT_TRUE(t.last(self, 7, present));
}

TEST(transfers, those_of_a_member_that_left_are_dropped) {
  transfers t(self);
  t.first(other, 7, 1);
  t.first(self, 7, t.begin(7));
  t.left(other, 7);
  EXPECT_FALSE(t.last(other, 7, 1));
  EXPECT_TRUE(t.continues(self, 7, 1));
  t.forget(7);
  t.give_up(7);
  EXPECT_TRUE(t.empty());
}

}  // namespace
