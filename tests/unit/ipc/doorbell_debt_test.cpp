// How many doorbell bytes are unread, and when the socket has to be read.
#include "ipc/doorbell_debt.hpp"

#include <gtest/gtest.h>

namespace {

using cpgring::ipc::doorbell_debt;

constexpr std::uint32_t mebibyte = 1U << 20, smallest_ring = 16384;

TEST(doorbell_debt, is_due_at_exactly_8192_events) {
  const doorbell_debt debt(mebibyte);
  EXPECT_FALSE(debt.due(0));
  EXPECT_FALSE(debt.due(8191));
  EXPECT_TRUE(debt.due(8192));
}

TEST(doorbell_debt, is_due_earlier_where_the_buffer_of_the_service_is_small) {
  const doorbell_debt debt(smallest_ring);
  EXPECT_FALSE(debt.due(4095));
  EXPECT_TRUE(debt.due(4096));
  EXPECT_FALSE(doorbell_debt(32U << 20).due(8191));
  EXPECT_TRUE(doorbell_debt(32U << 20).due(8192));
}

TEST(doorbell_debt, is_settled_by_as_many_bytes_as_events) {
  doorbell_debt debt(mebibyte);
  debt.emptied(8192, 8192);
  EXPECT_EQ(debt.debt(8192), 0);
  EXPECT_FALSE(debt.due(8192 + 8191));
  EXPECT_TRUE(debt.due(8192 + 8192));
}

TEST(doorbell_debt, is_read_again_until_the_service_has_sent_what_it_owed) {
  doorbell_debt debt(mebibyte);
  debt.emptied(8192, 278);  // what the socket held
  EXPECT_EQ(debt.debt(8192), 7914);
  EXPECT_TRUE(debt.due(8192));
  debt.emptied(8192, 0);  // the service has not run yet
  EXPECT_TRUE(debt.due(8193));
  debt.emptied(8193, 7914);
  EXPECT_EQ(debt.debt(8193), 1);
  EXPECT_FALSE(debt.due(8193));
  EXPECT_FALSE(debt.due(8192 + 8191));
  EXPECT_TRUE(debt.due(8192 + 8192));
}

TEST(doorbell_debt, counts_what_others_have_read) {
  doorbell_debt debt(mebibyte);
  for (std::uint64_t taken = 1; taken <= 100000; ++taken) {
    debt.bytes_read() += 1;
    ASSERT_FALSE(debt.due(taken));
  }
  EXPECT_TRUE(debt.due(100000 + 8192));
}

TEST(doorbell_debt, is_below_zero_while_bytes_are_ahead_of_their_events) {
  doorbell_debt debt(mebibyte);
  debt.emptied(0, 5000);
  EXPECT_EQ(debt.debt(0), -5000);
  EXPECT_FALSE(debt.due(5000 + 8191));
  EXPECT_TRUE(debt.due(5000 + 8192));
}

TEST(doorbell_debt, is_not_hidden_by_bytes_without_events) {
  doorbell_debt debt(smallest_ring);
  debt.emptied(0, 1000000000);
  EXPECT_EQ(debt.debt(0), -std::int64_t{smallest_ring / 32});
  EXPECT_TRUE(debt.due(smallest_ring / 32 + 4096));
}

TEST(doorbell_debt, is_forgiven_to_a_service_that_sends_no_bytes) {
  doorbell_debt debt(smallest_ring);
  debt.emptied(4096, 0);
  EXPECT_TRUE(debt.due(4096));
  debt.emptied(4096 + 512, 0);  // as many events as the ring holds: all of them may be older than the first reading
  EXPECT_TRUE(debt.due(4096 + 512));
  debt.emptied(4096 + 513, 0);
  EXPECT_EQ(debt.debt(4096 + 513), 0);
  EXPECT_FALSE(debt.due(4096 + 513 + 4095));
  EXPECT_TRUE(debt.due(4096 + 513 + 4096));
}

TEST(doorbell_debt, counts_beyond_the_32_bits_of_libqb) {
  doorbell_debt debt(mebibyte);
  const std::uint64_t many = std::uint64_t{1} << 33;
  debt.bytes_read() += many;
  EXPECT_FALSE(debt.due(many + 8191));
  EXPECT_TRUE(debt.due(many + 8192));
}

}  // namespace
