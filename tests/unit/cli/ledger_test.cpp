#include "cli/ledger.hpp"

#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

using cpgring::cli::ledger;

namespace {

constexpr std::size_t size = 75;  // the pattern ends inside a word

std::vector<std::byte> message(const ledger& l, std::uint64_t k, std::int64_t intended = 1000,
                               std::size_t bytes = size) {
  std::vector<std::byte> payload(bytes);
  l.write(payload, k, intended);
  return payload;
}

TEST(ledger, reports_no_fault_for_an_undisturbed_stream) {
  ledger l(3, 10, size);
  for (std::uint64_t k = 0; k < 10; ++k) {
    l.arrived(l.handle_of(k), message(l, k), 3000);
  }
  const auto& t = l.so_far();
  EXPECT_EQ(t.delivered, 10U);
  EXPECT_EQ(t.duplicated + t.out_of_order + t.corrupted + l.lost(10), 0U);
  EXPECT_EQ(l.latency().count(), 10U);
  EXPECT_EQ(l.latency().max(), 2000U);
}

TEST(ledger, counts_lost_messages) {
  ledger l(3, 12, size);
  // 3 is skipped, 7 to 9 were sent but did not arrive, 10 and 11 were not sent.
  for (std::uint64_t k : {0U, 1U, 2U, 4U, 5U, 6U}) {
    l.arrived(l.handle_of(k), message(l, k), 3000);
  }
  EXPECT_EQ(l.lost(10), 4U);
  EXPECT_EQ(l.so_far().delivered, 6U);
  EXPECT_EQ(l.so_far().out_of_order, 0U);
}

TEST(ledger, counts_duplicates) {
  ledger l(2, 10, size);
  l.arrived(0, message(l, 0), 3000);
  l.arrived(0, message(l, 0), 3000);
  EXPECT_EQ(l.so_far().duplicated, 1U);
  EXPECT_EQ(l.so_far().delivered, 1U);
}

TEST(ledger, counts_a_late_arrival_as_out_of_order_and_not_as_lost) {
  ledger l(1, 10, size);
  for (std::uint64_t k : {0U, 2U, 1U, 3U}) {
    l.arrived(0, message(l, k), 3000);
  }
  EXPECT_EQ(l.so_far().out_of_order, 1U);
  EXPECT_EQ(l.so_far().delivered, 4U);
  EXPECT_EQ(l.lost(4), 0U);
}

TEST(ledger, detects_any_flipped_bit) {
  ledger l(2, 10, size);
  auto payload = message(l, 0);
  for (std::size_t bit = 0; bit < size * 8; ++bit) {
    payload[bit / 8] ^= std::byte(1U << bit % 8);
    l.arrived(0, payload, 3000);
    payload[bit / 8] ^= std::byte(1U << bit % 8);
  }
  EXPECT_EQ(l.so_far().corrupted, size * 8);
  EXPECT_EQ(l.so_far().delivered, 0U);
  EXPECT_EQ(l.lost(1), 1U);
}

TEST(ledger, counts_a_wrong_size_handle_or_number_as_corrupted) {
  ledger l(2, 10, size);
  l.arrived(1, message(l, 0), 3000);
  const auto whole = message(l, 0);
  l.arrived(0, std::span(whole).first(size - 1), 3000);
  l.arrived(0, message(l, 0, 1000, size + 1), 3000);
  l.arrived(0, {}, 3000);
  l.arrived(0, message(l, 10), 3000);
  EXPECT_EQ(l.so_far().corrupted, 5U);
  EXPECT_EQ(l.so_far().delivered, 0U);
}

RC_GTEST_PROP(ledger, agrees_with_a_simple_count_over_random_streams, ()) {
  const auto handles = *rc::gen::inRange<std::uint32_t>(1, 5);
  const auto planned = *rc::gen::inRange<std::uint64_t>(1, 60);
  const auto arrivals =
      *rc::gen::container<std::vector<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(0, planned));
  ledger l(handles, planned, size);
  std::map<std::uint64_t, int> seen;
  std::map<std::uint32_t, std::uint64_t> latest;
  std::uint64_t behind = 0;
  std::uint64_t again = 0;
  for (const auto k : arrivals) {
    l.arrived(l.handle_of(k), message(l, k), 3000);
    auto& last = latest.try_emplace(l.handle_of(k), k).first->second;
    if (seen[k]++ > 0) {
      ++again;
    } else if (k < last) {
      ++behind;
    }
    last = std::max(last, k);
  }
  RC_ASSERT(l.so_far().delivered == seen.size());
  RC_ASSERT(l.so_far().duplicated == again);
  RC_ASSERT(l.so_far().out_of_order == behind);
  RC_ASSERT(l.lost(planned) == planned - seen.size());
}

}  // namespace
