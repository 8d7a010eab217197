// The reactor's side of the worker queues: room, reports, wake-ups, shutdown. The test plays the workers.
#include "dispatch/worker_client.hpp"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lease/copy_pool.hpp"
#include "support/hand_driven_worker.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::dispatch;
using cpgring::test::hand_driven_worker;
using wake_on = worker_client::wake_on;

/// Makes one report per item, and records the reports that the client delivers.
struct recording_target : worker_target {
  recording_target() : worker_target(&run_items, &report_came) {}
  static std::uint32_t run_items(worker_target& self, worker_link& from, std::uint32_t first,
                                 std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const work_item& one = from.work_ends.out.front(first + i);
      EXPECT_TRUE(from.back_ends.in.emplace(work_done{&self, one.claim, 1, 1, one.size, nullptr}));
    }
    return count;
  }
  static void report_came(worker_target& self, work_done& report) {
    auto& me = static_cast<recording_target&>(self);
    me.claims.push_back(report.claim);
    me.calls_done += report.count == 0 ? 1 : 0;
    me.failures += report.failure ? 1 : 0;
  }
  std::vector<std::uint64_t> claims;
  int calls_done = 0, failures = 0;
};

struct recording_waiter : room_waiter {
  recording_waiter(std::string n, std::vector<std::string>& l) : name(std::move(n)), log(l) {}
  void on_room() override { log.push_back(name); }
  const std::string name;
  std::vector<std::string>& log;
};

struct client_case {
  explicit client_case(std::uint32_t workers = 1, std::size_t capacity = 4)
      : pool(std::make_shared<worker_pool>(worker_pool::shape{workers, 1, capacity, {}})),
        client(pool, 0, [this] { ++wakes; }) {
    for (std::uint32_t i = 0; i < workers; ++i) {
      hands.emplace_back(pool->link(0, i));
    }
  }
  work_item item(std::uint64_t claim) { return {&target, nullptr, {claim}, claim, 10, 1, 5}; }
  void queue(std::uint32_t worker, std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      client.queue(worker, item(first + i));
    }
    client.publish();
  }

  int wakes = 0;
  std::shared_ptr<worker_pool> pool;
  worker_client client;
  recording_target target;
  std::vector<hand_driven_worker> hands;
  std::vector<std::string> log;
};

TEST(worker_client, a_worker_sees_items_only_once_they_are_published) {
  client_case c;
  c.client.queue(0, c.item(0));
  EXPECT_EQ(c.hands[0].messages_waiting(), 0U);
  c.client.publish();
  EXPECT_EQ(c.hands[0].messages_waiting(), 1U);
}

TEST(worker_client, has_room_again_only_after_taking_reports) {
  client_case c(2);
  c.queue(0, 0, 4);
  EXPECT_EQ(c.client.room(0), 0U);
  EXPECT_FALSE(c.client.has_room(0));
  EXPECT_EQ(c.client.room(1), 4U);
  EXPECT_EQ(c.client.under_way(), 4U);
  EXPECT_EQ(c.client.under_way(0), 4U);
  c.hands[0].run_messages(3);
  EXPECT_EQ(c.client.room(0), 0U);
  EXPECT_TRUE(c.client.reports_waiting());
  c.client.take_reports();
  EXPECT_EQ(c.client.room(0), 3U);
  EXPECT_EQ(c.client.under_way(), 1U);
  EXPECT_FALSE(c.client.reports_waiting());
  EXPECT_EQ(c.target.claims, (std::vector<std::uint64_t>{0, 1, 2}));
}

TEST(worker_client, calls_have_their_own_room_and_overtake_messages) {
  client_case c(1, 2);
  c.queue(0, 0, 2);
  EXPECT_TRUE(c.client.has_room_for_call(0));
  for (int i = 0; i < 2; ++i) {
    c.client.queue(0, exclusive_call{&c.target, [&c] { c.log.emplace_back("call"); }});
  }
  EXPECT_FALSE(c.client.has_room_for_call(0));
  c.client.publish();
  EXPECT_EQ(c.hands[0].run_calls(), 2U);
  EXPECT_EQ(c.client.under_way(), 4U);
  c.client.take_reports();
  EXPECT_EQ(c.target.calls_done, 2);
  EXPECT_TRUE(c.client.has_room_for_call(0));
  EXPECT_EQ(c.client.under_way(0), 2U);
}

TEST(worker_client, reports_an_exception_of_a_call) {
  client_case c;
  c.client.queue(0, exclusive_call{&c.target, [] { throw 1; }});
  c.client.publish();
  c.hands[0].run_calls();
  c.client.take_reports();
  EXPECT_EQ(c.target.failures, 1);
}

TEST(worker_client, calls_waiters_in_order_one_per_freed_slot) {
  client_case c;
  recording_waiter a("a", c.log), b("b", c.log), d("d", c.log);
  c.queue(0, 0, 4);
  for (auto* one : {&a, &b, &d}) {
    c.client.wait_for_room(0, *one);
  }
  c.hands[0].run_messages(1);
  c.client.take_reports();
  EXPECT_EQ(c.log, std::vector<std::string>{"a"});
  c.client.take_reports();
  EXPECT_EQ(c.log.size(), 1U) << "no slot was freed since";
  c.client.forget(b);
  c.hands[0].run_messages(1);
  c.client.take_reports();
  EXPECT_EQ(c.log, (std::vector<std::string>{"a", "d"}));
}

TEST(worker_client, calls_all_waiters_when_no_work_is_outstanding) {
  client_case c(1, 4);
  recording_waiter a("a", c.log), b("b", c.log);
  c.queue(0, 0, 1);
  c.client.wait_for_room(0, a);
  c.client.wait_for_room(0, b);
  c.hands[0].run_messages();
  c.client.take_reports();
  EXPECT_EQ(c.log, (std::vector<std::string>{"a", "b"})) << "no further report would call the second";
}

TEST(worker_client, calls_waiters_only_for_their_own_worker) {
  client_case c(2);
  recording_waiter a("a", c.log);
  c.queue(0, 0, 4);
  c.queue(1, 0, 4);
  c.client.wait_for_room(0, a);
  c.hands[1].run_messages();
  c.client.take_reports();
  EXPECT_EQ(c.log.size(), 0U);
  c.hands[0].run_messages();
  c.client.take_reports();
  EXPECT_EQ(c.log.size(), 1U);
}

TEST(worker_client, detects_reports_made_after_arming) {
  client_case c;
  c.queue(0, 0, 2);
  c.client.arm(wake_on::any_report);
  EXPECT_FALSE(c.client.reports_waiting());
  c.hands[0].run_messages(1);
  EXPECT_TRUE(c.client.reports_waiting());
  c.client.disarm();
  c.client.take_reports();
  c.client.arm(wake_on::nothing);
  EXPECT_FALSE(c.client.reports_waiting());
  c.client.disarm();
}

TEST(worker_client, edits_only_messages_that_the_worker_has_not_claimed) {
  client_case c;
  c.queue(0, 0, 3);
  auto& link = c.pool->link(0, 0);
  link.claim(link.work_ends.out.begin() + 1);
  std::vector<std::uint64_t> edited;
  c.client.edit_unclaimed(0, [&](work_item& one) { edited.push_back(one.claim); });
  EXPECT_EQ(edited, (std::vector<std::uint64_t>{1, 2}));
}

TEST(worker_client, frees_copies_of_messages_left_when_the_workers_end) {
  client_case c;
  work_item one = c.item(0);
  one.data = one.copy = leasing::new_copy(100);
  one.copy_size = 128;
  c.client.queue(0, one);
  c.client.publish();
  c.client.workers_ended();
  EXPECT_EQ(c.hands[0].messages_waiting(), 0U);
  EXPECT_FALSE(c.client.has_room_for_call(0)) << "no more work is accepted";
}

TEST(worker_client, takes_reports_after_the_workers_have_ended) {
  client_case c;
  c.queue(0, 0, 2);
  c.hands[0].run_messages(1);
  c.client.workers_ended();
  c.client.take_reports();
  EXPECT_EQ(c.target.claims, std::vector<std::uint64_t>{0});
}

}  // namespace
