// The number of doorbell bytes that libqb owes a client of the embedded service.
#include "service/unsent_doorbells.hpp"

#include <gtest/gtest.h>

namespace {

using cpgring::service::unsent_doorbells;

void send(unsent_doorbells& to, std::uint32_t events) {
  for (std::uint32_t i = 0; i < events; ++i) {
    to.sent(true);
  }
}

TEST(unsent_doorbells, are_zero_while_the_socket_accepts_all_bytes) {
  unsent_doorbells owed(1 << 20);
  for (int i = 0; i < 100000; ++i) {
    owed.sent(false);
  }
  EXPECT_EQ(owed.count(), 0U);
  EXPECT_FALSE(owed.at_limit());
}

TEST(unsent_doorbells, reach_their_limit_after_32768_refused_bytes) {
  unsent_doorbells owed(1 << 20);
  send(owed, 32768);
  EXPECT_FALSE(owed.at_limit());
  send(owed, 1);
  EXPECT_TRUE(owed.at_limit());
}

TEST(unsent_doorbells, stay_below_the_size_of_libqbs_buffer) {
  unsent_doorbells owed(16384);
  send(owed, 8192);
  EXPECT_FALSE(owed.at_limit());
  send(owed, 1);
  EXPECT_TRUE(owed.at_limit());
  unsent_doorbells none(0);
  EXPECT_FALSE(none.at_limit());
  send(none, 1);
  EXPECT_TRUE(none.at_limit());
}

TEST(unsent_doorbells, are_zero_again_once_the_socket_accepts_a_byte) {
  unsent_doorbells owed(1 << 20);
  send(owed, 40000);
  owed.sent(false);
  EXPECT_EQ(owed.count(), 0U);
  EXPECT_FALSE(owed.at_limit());
}

}  // namespace
