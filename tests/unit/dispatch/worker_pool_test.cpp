#include "dispatch/worker_pool.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace cpgring;
using namespace cpgring::dispatch;

/// Writes down in which order its items, and those of others that share the list, were run.
struct recorder : worker_target {
  recorder(int n, std::vector<int>& l) : worker_target(&run_items), number(n), list(&l) {}
  static std::uint32_t run_items(worker_target& self, feed& from, std::uint32_t first, std::uint32_t count) {
    auto& me = static_cast<recorder&>(self);
    me.list->insert(me.list->end(), count, me.number);
    EXPECT_TRUE(from.back_ends.in.emplace(receipt{&self, from.work_ends.out.front(first).lease, count, count, 0, nullptr}));
    return count;
  }
  int number;
  std::vector<int>* list;
};

work_item item_for(worker_target& to) { return {&to, nullptr, {0}, 0, 0, 0, 0}; }

void fill(feed& way, worker_target& to, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    ASSERT_NE(way.work_ends.in.stage(item_for(to)), nullptr);
  }
  way.work_ends.in.publish();
}

bool wait_for(const std::atomic<int>& value, int wanted) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (value < wanted && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  return value >= wanted;
}

TEST(worker_pool, a_reactor_with_much_does_not_keep_another_waiting) {
  worker_pool pool({1, 2, 4096, {}});
  std::vector<int> order;
  recorder loud(0, order), quiet(1, order);
  fill(pool.way(0, 0), loud, 4000);
  fill(pool.way(1, 0), quiet, 1);
  std::atomic<int> ran_out{0};
  for (std::uint32_t r = 0; r < 2; ++r) {
    pool.on_receipts(r, [&](bool all) { ran_out += all ? 1 : 0; });
  }
  ASSERT_TRUE(pool.start());
  ASSERT_TRUE(wait_for(ran_out, 2));
  pool.stop();
  ASSERT_EQ(order.size(), 4001U);
  const auto at = std::find(order.begin(), order.end(), 1) - order.begin();
  EXPECT_LE(at, 64) << "one turn of the other's at most";
}

TEST(worker_pool, says_to_each_reactor_when_nothing_of_its_own_is_left) {
  worker_pool pool({1, 2, 64, {}});
  std::vector<int> order;
  recorder target(7, order);
  std::atomic<int> ran_out[2] = {0, 0};
  for (std::uint32_t r = 0; r < 2; ++r) {
    pool.on_receipts(r, [&, r](bool all) { ran_out[r] += all ? 1 : 0; });
  }
  ASSERT_TRUE(pool.start());
  ASSERT_TRUE(pool.start()) << "once is enough";
  for (int round = 1; round <= 20; ++round) {
    fill(pool.way(1, 0), target, 3);
    pool.wake(0);
    ASSERT_TRUE(wait_for(ran_out[1], round));
    auto& back = pool.way(1, 0).back_ends.out;
    std::uint32_t done = 0;
    for (; !back.empty(); back.release(1)) {
      done += back.front().count;
    }
    ASSERT_EQ(done, 3U);
  }
  EXPECT_EQ(ran_out[0], 0);
  pool.stop();
  pool.stop();
}

TEST(worker_pool, each_pair_has_a_way_of_its_own) {
  worker_pool pool({3, 2, 64, {}});
  std::set<const feed*> all;
  for (std::uint32_t r = 0; r < 2; ++r) {
    for (std::uint32_t w = 0; w < 3; ++w) {
      all.insert(&pool.way(r, w));
    }
  }
  EXPECT_EQ(all.size(), 6U);
}

TEST(worker_pool, what_was_not_begun_at_the_stop_is_left_where_it_is) {
  worker_pool pool({1, 1, 64, {}});
  pool.on_receipts(0, [](bool) {});
  pool.stop();
  EXPECT_TRUE(pool.start()) << "does nothing behind the end";
  std::vector<int> order;
  recorder target(1, order);
  fill(pool.way(0, 0), target, 2);
  EXPECT_EQ(pool.way(0, 0).work_ends.out.available(2), 2U);
  EXPECT_TRUE(order.empty());
}

}  // namespace
