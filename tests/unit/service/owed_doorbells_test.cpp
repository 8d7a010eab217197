// How many doorbell bytes libqb owes a client of the embedded service.
#include "service/owed_doorbells.hpp"

#include <gtest/gtest.h>

namespace {

using cpgring::service::owed_doorbells;

void send(owed_doorbells& to, std::uint32_t events) {
  for (std::uint32_t i = 0; i < events; ++i) {
    to.sent(true);
  }
}

TEST(owed_doorbells, are_none_as_long_as_the_socket_takes_them) {
  owed_doorbells owed(1 << 20);
  for (int i = 0; i < 100000; ++i) {
    owed.sent(false);
  }
  EXPECT_EQ(owed.count(), 0U);
  EXPECT_FALSE(owed.at_limit());
}

TEST(owed_doorbells, are_at_their_limit_behind_32768_events_that_the_socket_did_not_take) {
  owed_doorbells owed(1 << 20);
  send(owed, 32768);
  EXPECT_FALSE(owed.at_limit());
  send(owed, 1);
  EXPECT_TRUE(owed.at_limit());
}

TEST(owed_doorbells, never_reach_the_size_of_libqbs_buffer) {
  owed_doorbells owed(16384);
  send(owed, 8192);
  EXPECT_FALSE(owed.at_limit());
  send(owed, 1);
  EXPECT_TRUE(owed.at_limit());
  owed_doorbells none(0);
  EXPECT_FALSE(none.at_limit());
  send(none, 1);
  EXPECT_TRUE(none.at_limit());
}

TEST(owed_doorbells, are_none_again_once_libqb_waits_for_room_no_more) {
  owed_doorbells owed(1 << 20);
  send(owed, 40000);
  owed.sent(false);
  EXPECT_EQ(owed.count(), 0U);
  EXPECT_FALSE(owed.at_limit());
}

}  // namespace
