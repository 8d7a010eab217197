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

/// Appends its number to a shared list for each item that runs.
struct recorder : worker_target {
  recorder(int n, std::vector<int>& l) : worker_target(&run_items, &ignore_report), number(n), list(&l) {}
  static std::uint32_t run_items(worker_target& self, worker_link& from, std::uint32_t first,
                                 std::uint32_t count) {
    auto& me = static_cast<recorder&>(self);
    me.list->insert(me.list->end(), count, me.number);
    EXPECT_TRUE(from.back_ends.in.emplace(
        work_done{&self, from.work_ends.out.front(first).claim, count, count, 0, nullptr}));
    return count;
  }
  static void ignore_report(worker_target& /*self*/, work_done& /*report*/) {}
  int number;
  std::vector<int>* list;
};

work_item item_for(worker_target& to) { return {&to, nullptr, {0}, 0, 0, 0, 0}; }

void fill(worker_link& link, worker_target& to, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    ASSERT_NE(link.work_ends.in.stage(item_for(to)), nullptr);
  }
  link.work_ends.in.publish();
}

bool wait_for(const std::atomic<int>& value, int wanted) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (value < wanted && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  return value >= wanted;
}

TEST(worker_pool, a_busy_reactor_does_not_starve_another) {
  worker_pool pool({1, 2, 4096, {}});
  std::vector<int> order;
  recorder loud(0, order), quiet(1, order);
  fill(pool.link(0, 0), loud, 4000);
  fill(pool.link(1, 0), quiet, 1);
  std::atomic<int> ran_out{0};
  for (std::uint32_t r = 0; r < 2; ++r) {
    pool.on_reports(r, [&](bool all) { ran_out += all ? 1 : 0; });
  }
  ASSERT_TRUE(pool.start());
  ASSERT_TRUE(wait_for(ran_out, 2));
  pool.stop();
  ASSERT_EQ(order.size(), 4001U);
  const auto at = std::find(order.begin(), order.end(), 1) - order.begin();
  EXPECT_LE(at, 64) << "at most one batch of the busy reactor runs first";
}

TEST(worker_pool, tells_each_reactor_when_its_own_work_is_done) {
  worker_pool pool({1, 2, 64, {}});
  std::vector<int> order;
  recorder target(7, order);
  std::atomic<int> ran_out[2] = {0, 0};
  for (std::uint32_t r = 0; r < 2; ++r) {
    pool.on_reports(r, [&, r](bool all) { ran_out[r] += all ? 1 : 0; });
  }
  ASSERT_TRUE(pool.start());
  ASSERT_TRUE(pool.start()) << "a second start is harmless";
  for (int round = 1; round <= 20; ++round) {
    fill(pool.link(1, 0), target, 3);
    pool.wake(0);
    ASSERT_TRUE(wait_for(ran_out[1], round));
    auto& back = pool.link(1, 0).back_ends.out;
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

TEST(worker_pool, each_pair_of_reactor_and_worker_has_its_own_link) {
  worker_pool pool({3, 2, 64, {}});
  std::set<const worker_link*> all;
  for (std::uint32_t r = 0; r < 2; ++r) {
    for (std::uint32_t w = 0; w < 3; ++w) {
      all.insert(&pool.link(r, w));
    }
  }
  EXPECT_EQ(all.size(), 6U);
}

TEST(worker_pool, leaves_unstarted_work_in_its_queue_at_the_stop) {
  worker_pool pool({1, 1, 64, {}});
  pool.on_reports(0, [](bool) {});
  pool.stop();
  EXPECT_TRUE(pool.start()) << "start after stop does nothing";
  std::vector<int> order;
  recorder target(1, order);
  fill(pool.link(0, 0), target, 2);
  EXPECT_EQ(pool.link(0, 0).work_ends.out.available(2), 2U);
  EXPECT_TRUE(order.empty());
}

}  // namespace
