// Chunks may be marked done in any order; each is taken back once, oldest first.
#include "lease/chunk_ledger.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace {

using cpgring::leasing::chunk_ledger;

TEST(chunk_ledger, takes_chunks_done_in_order_at_once) {
  chunk_ledger w;
  for (std::uint64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(w.claim(), i);
  }
  w.done(0, 4);
  EXPECT_EQ(w.take(), 4U);
  EXPECT_EQ(w.take(), 0U);
  EXPECT_EQ(w.open(), 6U);
  w.done(4, 6);
  EXPECT_EQ(w.take(), 6U);
  EXPECT_EQ(w.open(), 0U);
}

TEST(chunk_ledger, holds_chunks_done_before_older_ones) {
  chunk_ledger w;
  for (int i = 0; i < 5; ++i) {
    w.claim();
  }
  w.done(1, 2);
  w.done(4, 1);
  EXPECT_EQ(w.take(), 0U);
  EXPECT_EQ(w.open(), 2U);
  w.done(0, 1);
  EXPECT_EQ(w.take(), 3U);
  w.done(3, 1);
  EXPECT_EQ(w.take(), 2U);
}

TEST(chunk_ledger, keeps_a_done_mark_when_many_more_are_claimed) {
  chunk_ledger w;
  for (int i = 0; i < 10; ++i) {
    w.claim();
  }
  w.done(5, 1);  // allocates the bitmap, with room for some hundred chunks
  for (int i = 0; i < 5000; ++i) {
    w.claim();
  }
  w.done(2000, 1);  // the bitmap grows
  w.done(0, 5);
  EXPECT_EQ(w.take(), 6U);
  w.done(6, 255);
  EXPECT_EQ(w.take(), 255U) << "past the position of chunk 5 in the smaller bitmap, one lap later";
  w.done(261, 1739);
  EXPECT_EQ(w.take(), 1740U);
  w.done(2001, 3009);
  EXPECT_EQ(w.take(), 3009U);
  EXPECT_EQ(w.open(), 0U);
}

TEST(chunk_ledger, claims_several_and_returns_the_number_of_the_first) {
  chunk_ledger w;
  EXPECT_EQ(w.claim(3), 0U);
  EXPECT_EQ(w.claim(0), 3U) << "the number that the next claim gets";
  EXPECT_EQ(w.claim(2), 3U);
  EXPECT_EQ(w.claim(), 5U);
  EXPECT_EQ(w.open(), 6U);
}

TEST(chunk_ledger, adjacent_done_runs_join) {
  chunk_ledger w;
  w.claim(200);
  w.done(100, 50);
  w.done(60, 40);
  EXPECT_EQ(w.take(), 0U);
  EXPECT_EQ(w.open(), 110U);
  w.done(0, 60);
  EXPECT_EQ(w.take(), 150U);
  w.done(199, 1);
  w.done(150, 49);
  EXPECT_EQ(w.take(), 50U);
}

TEST(chunk_ledger, adds_up_bytes_until_chunks_are_taken) {
  chunk_ledger w;
  w.claim(2);
  EXPECT_EQ(w.bytes(), 0U);
  w.add_bytes(100);
  w.add_bytes(50);
  EXPECT_EQ(w.bytes(), 150U);
  w.done(0, 1);
  EXPECT_EQ(w.take(), 1U);
  EXPECT_EQ(w.bytes(), 0U);
}

TEST(chunk_ledger, due_bytes_is_an_eighth_of_the_ring_but_at_most_8_kib) {
  EXPECT_EQ(chunk_ledger::due_bytes(16384), 2048U);
  EXPECT_EQ(chunk_ledger::due_bytes(65536), 8192U);
  EXPECT_EQ(chunk_ledger::due_bytes(1 << 20), 8192U);
}

TEST(chunk_ledger, keeps_all_done_marks_when_its_bitmap_grows) {
  chunk_ledger w;
  w.claim(200);
  w.done(150, 50);
  w.claim(5000);
  w.done(5000, 200);  // the bitmap grows
  w.done(0, 150);
  EXPECT_EQ(w.take(), 200U);
  w.done(200, 4800);
  EXPECT_EQ(w.take(), 5000U);
}

RC_GTEST_PROP(chunk_ledger, takes_exactly_the_done_chunks_before_the_oldest_open_one, ()) {
  chunk_ledger w;
  std::set<std::uint64_t> open;
  std::uint64_t leased = 0, back = 0;
  for (const int step : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 1000))) {
    if (step % 3 != 0 || open.empty()) {
      for (int i = 0; i <= (step % 50 == 7 ? 1000 : step % 40); ++i) {
        RC_ASSERT(w.claim() == leased);
        open.insert(leased++);
      }
    } else {
      auto at = open.begin();
      std::advance(at, static_cast<std::ptrdiff_t>(static_cast<std::size_t>(step) % open.size()));
      const std::uint64_t first = *at;
      std::uint32_t count = 0;
      while (at != open.end() && *at == first + count && count < static_cast<std::uint32_t>(step % 7 + 1)) {
        at = open.erase(at);
        ++count;
      }
      w.done(first, count);
    }
    back += w.take();
    RC_ASSERT(back == (open.empty() ? leased : *open.begin()));
    RC_ASSERT(w.open() == open.size());
  }
}

}  // namespace
