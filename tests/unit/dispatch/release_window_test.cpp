// Chunks done in any order go back oldest first, each once.
#include "dispatch/release_window.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "dispatch/router.hpp"

namespace {

using cpgring::dispatch::release_window;
using cpgring::dispatch::worker_of;

TEST(release_window, gives_back_what_is_done_in_order_at_once) {
  release_window w;
  for (std::uint64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(w.lease(), i);
  }
  w.done(0, 4);
  EXPECT_EQ(w.take(), 4U);
  EXPECT_EQ(w.take(), 0U);
  EXPECT_EQ(w.open(), 6U);
  w.done(4, 6);
  EXPECT_EQ(w.take(), 6U);
  EXPECT_EQ(w.open(), 0U);
}

TEST(release_window, holds_back_what_is_done_ahead_of_its_turn) {
  release_window w;
  for (int i = 0; i < 5; ++i) {
    w.lease();
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

TEST(release_window, remembers_what_was_done_ahead_however_many_are_leased_then) {
  release_window w;
  for (int i = 0; i < 10; ++i) {
    w.lease();
  }
  w.done(5, 1);  // the first bit: it has room for some hundred chunks
  for (int i = 0; i < 5000; ++i) {
    w.lease();
  }
  w.done(2000, 1);  // more room
  w.done(0, 5);
  EXPECT_EQ(w.take(), 6U);
  w.done(6, 255);
  EXPECT_EQ(w.take(), 255U) << "up to the place that number 5 had in the smaller room, one round further";
  w.done(261, 1739);
  EXPECT_EQ(w.take(), 1740U);
  w.done(2001, 3009);
  EXPECT_EQ(w.take(), 3009U);
  EXPECT_EQ(w.open(), 0U);
}

RC_GTEST_PROP(release_window, gives_back_the_unbroken_run_of_the_oldest_and_nothing_else, ()) {
  release_window w;
  std::set<std::uint64_t> open;
  std::uint64_t leased = 0, back = 0;
  for (const int step : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 1000))) {
    if (step % 3 != 0 || open.empty()) {
      for (int i = 0; i <= (step % 50 == 7 ? 1000 : step % 40); ++i) {
        RC_ASSERT(w.lease() == leased);
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

TEST(router, sends_a_key_to_the_same_worker_and_uses_all_of_them) {
  for (const std::uint32_t workers : {1U, 2U, 3U, 7U}) {
    std::vector<int> each(workers);
    for (std::uint64_t key = 0; key < 1000; ++key) {
      const auto worker = worker_of(key, workers);
      ASSERT_LT(worker, workers);
      EXPECT_EQ(worker, worker_of(key, workers));
      ++each[worker];
    }
    EXPECT_GT(*std::min_element(each.begin(), each.end()), static_cast<int>(1000 / workers / 2)) << "keys in a row are spread";
  }
}

}  // namespace
