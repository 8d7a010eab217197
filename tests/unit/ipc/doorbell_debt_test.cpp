// The number of unread doorbell bytes, and when the socket must be read.
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

TEST(doorbell_debt, is_due_earlier_with_a_small_ring) {
  const doorbell_debt debt(smallest_ring);
  EXPECT_FALSE(debt.due(4095));
  EXPECT_TRUE(debt.due(4096));
  EXPECT_FALSE(doorbell_debt(32U << 20).due(8191));
  EXPECT_TRUE(doorbell_debt(32U << 20).due(8192));
}

TEST(doorbell_debt, is_paid_by_one_byte_per_event) {
  doorbell_debt debt(mebibyte);
  debt.emptied(8192, 8192);
  EXPECT_EQ(debt.debt(8192), 0);
  EXPECT_FALSE(debt.due(8192 + 8191));
  EXPECT_TRUE(debt.due(8192 + 8192));
}

TEST(doorbell_debt, stays_due_until_the_service_has_sent_its_owed_bytes) {
  doorbell_debt debt(mebibyte);
  debt.emptied(8192, 278);  // the bytes that the socket held
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

TEST(doorbell_debt, counts_bytes_read_by_the_wake_up_backend) {
  doorbell_debt debt(mebibyte);
  for (std::uint64_t taken = 1; taken <= 100000; ++taken) {
    debt.bytes_read() += 1;
    ASSERT_FALSE(debt.due(taken));
  }
  EXPECT_TRUE(debt.due(100000 + 8192));
}

TEST(doorbell_debt, is_negative_while_bytes_precede_their_events) {
  doorbell_debt debt(mebibyte);
  debt.emptied(0, 5000);
  EXPECT_EQ(debt.debt(0), -5000);
  EXPECT_FALSE(debt.due(5000 + 8191));
  EXPECT_TRUE(debt.due(5000 + 8192));
}

TEST(doorbell_debt, is_limited_below_so_that_excess_bytes_cannot_hide_it) {
  doorbell_debt debt(smallest_ring);
  debt.emptied(0, 1000000000);
  EXPECT_EQ(debt.debt(0), -std::int64_t{smallest_ring / 32});
  EXPECT_TRUE(debt.due(smallest_ring / 32 + 4096));
}

TEST(doorbell_debt, is_forgiven_if_the_service_sends_no_bytes) {
  doorbell_debt debt(smallest_ring);
  debt.emptied(4096, 0);
  EXPECT_TRUE(debt.due(4096));
  // 512 events fill the ring: all of them may be older than the first read of the socket.
  debt.emptied(4096 + 512, 0);
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
