// A handle's multicasts from acceptance to outcome, without a connection.
#include "cpg/send_queue.hpp"

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "unit/cpg/session_parts.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::cpg;
using namespace cpgring::cpg::test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const error lost(errc::service_lost);

struct send_queues : ::testing::Test {
  static send_limits limits() { return {1000, 300, 5000, 500}; }

  queued_multicast& push(const std::string& text, std::size_t counted = 0) {
    const std::span<const std::byte> one[] = {bytes_of(text)};
    return queue.push(one, text.size(), counted);
  }
  queued_multicast& push_confirmed(const std::string& text, base::time_point deadline = never) {
    const std::span<const std::byte> one[] = {bytes_of(text)};
    EXPECT_TRUE(queue.admit(text.size() + overhead, text.size(), false));
    return queue.push_confirmed(one, text.size(), deadline, note(text));
  }
  queued_multicast& add_written(const std::string& text, std::uint64_t number,
                                base::time_point deadline = never) {
    EXPECT_TRUE(queue.admit(text.size() + overhead, text.size(), false));
    return queue.add_written(text.size(), deadline, note(text), number);
  }
  confirmation note(const std::string& name) {
    return [this, name](const multicast_outcome& o) {
      outcomes.push_back(name + ' ' + std::string(to_string(o.fate)) +
                         (o.sequence != 0 ? ' ' + std::to_string(o.sequence) : ""));
    };
  }
  void fail_and_report(queued_multicast& one) {
    queue.fail(one, lost);
    one.report();
  }
  [[nodiscard]] std::string front_text() {
    const auto bytes = queue.front().payload();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  /// Marks all waiting multicasts as written; returns their texts.
  std::vector<std::string> drain() {
    std::vector<std::string> all;
    for (std::uint64_t number = 1000; queue.has_unwritten(); ++number) {
      all.push_back(front_text());
      queue.front_written(number);
    }
    return all;
  }

  multicast_pool pool;
  send_queue queue{limits(), pool};
  std::vector<std::string> outcomes;
};

// --- limits

TEST_F(send_queues, admit_up_to_their_limit_but_at_least_one) {
  EXPECT_TRUE(queue.admit(5000, 5000, false)) << "one message alone is admitted whatever its size";
  queue.undo_admit(5000);
  EXPECT_TRUE(queue.admit(600, 600, false));
  EXPECT_TRUE(queue.admit(400, 400, false));
  EXPECT_FALSE(queue.take_refused_sender());
  EXPECT_EQ(queue.admit(1, 1, false).error(), errc::try_again);
  EXPECT_EQ(queue.counted(), 1000U);
  EXPECT_TRUE(queue.take_refused_sender()) << "a refused sender is to be notified";
  EXPECT_FALSE(queue.take_refused_sender()) << "notified once";
  queue.undo_admit(400);
  EXPECT_TRUE(queue.admit(400, 400, false));
}

TEST_F(send_queues, admit_less_before_the_handle_has_joined) {
  EXPECT_TRUE(queue.admit(300, 300, true));
  EXPECT_EQ(queue.admit(1, 1, true).error(), errc::try_again);
  EXPECT_TRUE(queue.admit(1, 1, false));
}

TEST_F(send_queues, refuse_a_message_above_large_message_max) {
  for (const auto& refused : {queue.check_size(5001), queue.admit(5001, 5001, false)}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), errc::too_big);
    EXPECT_THAT(refused.error().message(), HasSubstr("above large_message_max (5000)"));
  }
  EXPECT_EQ(queue.counted(), 0U);
  send_queue small({1000, 0, 100, 500}, pool);
  EXPECT_TRUE(small.check_size(500)) << "the limit applies only to fragmented messages";
}

TEST_F(send_queues, keep_multicasts_of_the_driving_thread_up_to_their_limit) {
  const std::span<const std::byte> payload[] = {bytes_of("abc"), bytes_of("defg")};
  ASSERT_TRUE(queue.keep(payload, 7));
  EXPECT_EQ(queue.counted(), 7U);
  EXPECT_EQ(front_text(), "abcdefg");
  const std::string large(294, 'x');
  const std::span<const std::byte> more[] = {bytes_of(large)};
  const auto refused = queue.keep(more, large.size());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::try_again);
  EXPECT_THAT(refused.error().message(), HasSubstr("supervision.queue_bytes (300)"));
  EXPECT_EQ(queue.counted(), 7U);
  EXPECT_FALSE(queue.take_released());
  queue.front_written(1);
  EXPECT_EQ(queue.counted(), 0U);
  EXPECT_TRUE(queue.take_released());
  EXPECT_FALSE(queue.take_released());
}

// --- the life of an entry

TEST_F(send_queues, keep_the_order_of_the_calls) {
  push("1");
  push_confirmed("2");
  push("3");
  EXPECT_EQ(queue.last_position(), 3U);
  EXPECT_EQ(queue.front_position(), 1U);
  EXPECT_THAT(drain(), ElementsAre("1", "2", "3"));
  push("4");
  EXPECT_EQ(queue.front_position(), 4U);
}

TEST_F(send_queues, match_the_nth_written_with_the_nth_delivered_back) {
  push_confirmed("a");
  queue.front_written(2);
  queued_multicast& b = add_written("b", 4);
  EXPECT_EQ(queue.counted(), 2 * (1 + overhead));
  EXPECT_TRUE(queue.expects_own());
  EXPECT_EQ(queue.own_delivered(1), nullptr);
  queued_multicast* const a = queue.own_delivered(2);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->bytes(), 1U);
  EXPECT_EQ(queue.counted(), 1 + overhead) << "delivery frees its room";
  send_queue::confirm(*a, 77);
  EXPECT_FALSE(queue.all_reported());
  queue.sweep();
  a->report();
  queue.sweep();
  EXPECT_TRUE(queue.all_reported());
  EXPECT_EQ(queue.own_delivered(3), nullptr);
  ASSERT_EQ(queue.own_delivered(4), &b);
  EXPECT_FALSE(queue.expects_own());
  EXPECT_THAT(outcomes, ElementsAre("a confirmed 77"));
}

TEST_F(send_queues, keep_only_written_entries_after_their_deadline) {
  queued_multicast& sent = add_written("sent", 1, at_ms(5));
  push_confirmed("queued", at_ms(5));
  push_confirmed("later", at_ms(9));
  push("plain");
  EXPECT_EQ(queue.next_deadline(), at_ms(5));
  queue.expire(at_ms(4), [](queued_multicast&) { FAIL(); });
  queue.expire(at_ms(5), [&](queued_multicast& one) { fail_and_report(one); });
  EXPECT_THAT(outcomes, ElementsAre("sent unknown", "queued not sent"));
  EXPECT_EQ(queue.next_deadline(), at_ms(9));
  EXPECT_EQ(queue.counted(), 4 + 5 + 2 * overhead) << "the unwritten entry freed its room";
  EXPECT_THAT(drain(), ElementsAre("later", "plain"));
  queue.sweep();
  ASSERT_EQ(queue.own_delivered(1), &sent);
  EXPECT_TRUE(sent.decided());
}

TEST_F(send_queues, keep_a_plain_large_message_until_its_last_fragment) {
  push(std::string(1200, 'x'), 0);
  push("next");
  EXPECT_EQ(queue.sending(), nullptr);
  queue.begin_sending(1);
  EXPECT_EQ(queue.sending(), &queue.front());
  EXPECT_EQ(queue.front_position(), 1U);
  EXPECT_EQ(queue.own_delivered(1), nullptr) << "a plain message has no confirmation";
  queue.sending_done();
  EXPECT_THAT(drain(), ElementsAre("next"));
}

TEST_F(send_queues, accept_delivery_of_a_large_message_before_or_after_its_last_answer) {
  for (const bool early : {true, false}) {
    outcomes.clear();
    push_confirmed(std::string(700, 'x'));
    queue.begin_sending(3);
    queued_multicast* one = nullptr;
    if (early) {
      one = queue.own_delivered(3);
      ASSERT_NE(one, nullptr);
      send_queue::confirm(*one, 5);
      one->report();
      queue.sweep();
      EXPECT_EQ(queue.front().payload().size(), 700U) << "the message is still being sent";
    }
    queue.sending_done();
    if (!early) {
      one = queue.own_delivered(3);
      ASSERT_NE(one, nullptr);
      send_queue::confirm(*one, 5);
      one->report();
    }
    queue.sweep();
    EXPECT_EQ(queue.counted(), 0U);
    EXPECT_TRUE(queue.all_reported());
    EXPECT_THAT(outcomes, ElementsAre(HasSubstr(" confirmed 5")));
  }
}

TEST_F(send_queues, drop_an_interrupted_message) {
  queued_multicast& torn = push_confirmed("torn");
  queue.begin_sending(1);
  queue.fail(torn, lost, multicast_fate::not_sent);
  torn.report();
  queue.drop_sending();
  push(std::string(10, 'x'), 10);
  queue.begin_sending(1);
  queue.drop_sending();
  EXPECT_FALSE(queue.has_unwritten());
  EXPECT_FALSE(queue.expects_own());
  EXPECT_THAT(outcomes, ElementsAre("torn not sent"));
  EXPECT_TRUE(queue.take_released());
}

TEST_F(send_queues, restart_a_large_message_ahead_of_all_others) {
  push_confirmed("large");
  push("next");
  queue.begin_sending(9);
  queue.restart_sending();
  EXPECT_EQ(queue.sending(), nullptr);
  EXPECT_FALSE(queue.front().written());
  EXPECT_EQ(queue.own_delivered(9), nullptr);
  EXPECT_THAT(drain(), ElementsAre("large", "next"));
}

// --- the end of connection or handle

TEST_F(send_queues, forget_the_numbers_of_an_ended_connection) {
  queued_multicast& old = push_confirmed("old");
  queue.front_written(1);
  push_confirmed("waits");
  queue.each_open_written([&](queued_multicast& one) { fail_and_report(one); });
  EXPECT_EQ(queue.counted(), 3 + 5 + 2 * overhead);
  queue.end_connection();
  EXPECT_EQ(queue.counted(), 5 + overhead) << "written entries of the ended connection free their room";
  EXPECT_TRUE(old.decided());
  EXPECT_THAT(outcomes, ElementsAre("old unknown"));
  EXPECT_EQ(queue.own_delivered(1), nullptr) << "the next connection counts from 1 again";
  EXPECT_THAT(drain(), ElementsAre("waits"));
}

TEST_F(send_queues, drop_waiting_multicasts) {
  push("plain", 5);
  ASSERT_TRUE(queue.admit(5, 5, false));
  push_confirmed("confirmed");
  add_written("written", 1);
  queue.drop_waiting([&](queued_multicast& one) { fail_and_report(one); });
  EXPECT_FALSE(queue.has_unwritten());
  EXPECT_THAT(outcomes, ElementsAre("confirmed not sent"));
  EXPECT_EQ(queue.counted(), 7 + overhead);
}

TEST_F(send_queues, send_waiting_multicasts_after_deciding_their_confirmations) {
  push("1");
  push_confirmed("2");
  push_confirmed("3");
  push("4");
  queue.send_unconfirmed([&](queued_multicast& one) {
    queue.fail(one, lost, multicast_fate::unknown);
    one.report();
  });
  EXPECT_THAT(outcomes, ElementsAre("2 unknown", "3 unknown"));
  EXPECT_EQ(queue.counted(), 0U);
  EXPECT_THAT(drain(), ElementsAre("1", "2", "3", "4"));
}

TEST_F(send_queues, count_unwritten_multicasts) {
  std::size_t messages = 0, bytes = 0;
  push("12345");
  push_confirmed("123");
  push("1");
  queue.front_written(1);
  queue.begin_sending(2);
  queue.each_unwritten([&](std::size_t one) {
    ++messages;
    bytes += one;
  });
  EXPECT_EQ(messages, 2U);
  EXPECT_EQ(bytes, 4U);
}

TEST_F(send_queues, count_a_throwing_confirmation_as_reported) {
  push("x");
  EXPECT_TRUE(queue.admit(overhead, 0, false));
  queued_multicast& one = queue.push_confirmed({}, 0, never, [](const multicast_outcome&) { throw 1; });
  queue.fail(one, lost);
  EXPECT_THROW(one.report(), int);
  EXPECT_TRUE(queue.all_reported());
}

TEST_F(send_queues, report_each_unreported_entry_once) {
  add_written("1", 1);
  push_confirmed("2");
  push_confirmed("3");
  queue.each_open([&](queued_multicast& one) { queue.fail(one, lost); });
  EXPECT_FALSE(queue.all_reported());
  queue.each_unreported([](queued_multicast& one) { one.report(); });
  queue.each_unreported([](queued_multicast&) { FAIL(); });
  EXPECT_THAT(outcomes, ElementsAre("1 unknown", "2 not sent", "3 not sent"));
}

TEST_F(send_queues, can_be_swept_while_another_thread_reports) {
  std::deque<queued_multicast*> all;
  for (std::uint64_t i = 1; i <= 7; ++i) {
    all.push_back(&add_written("x", i));
    queue.fail(*all.back(), lost);
  }
  queue.end_connection();
  std::thread reporter([&] {
    for (auto* one : all) {
      one->report();
    }
  });
  while (!queue.all_reported()) {
    queue.sweep();
  }
  reporter.join();
  queue.sweep();
  EXPECT_EQ(outcomes.size(), 7U);
  EXPECT_EQ(pool.entries_kept(), 7U);
}

// --- the pool

TEST_F(send_queues, share_entries_and_buffers_through_the_pool) {
  send_queue other(limits(), pool);
  const std::byte* const buffer = push(std::string(400, 'x')).payload().data();
  const queued_multicast* const entry = &queue.front();
  queue.front_written(1);
  EXPECT_EQ(pool.entries_kept(), 1U);
  EXPECT_GE(pool.bytes_kept(), 400U);
  const std::string text(300, 'y');
  const std::span<const std::byte> one[] = {bytes_of(text)};
  queued_multicast& used = other.push(one, 300, 0);
  EXPECT_EQ(&used, entry);
  EXPECT_EQ(used.payload().data(), buffer);
  EXPECT_EQ(used.payload().size(), 300U);
  EXPECT_EQ(pool.entries_kept(), 0U);
  EXPECT_EQ(pool.bytes_kept(), 0U);
}

TEST_F(send_queues, destroy_a_confirmation_at_the_sweep) {
  const auto held = std::make_shared<int>(1);
  EXPECT_TRUE(queue.admit(overhead, 0, false));
  queued_multicast& one = queue.add_written(
      0, never, [held](const multicast_outcome&) {}, 1);
  EXPECT_EQ(held.use_count(), 2);
  ASSERT_EQ(queue.own_delivered(1), &one);
  send_queue::confirm(one, 1);
  one.report();
  queue.sweep();
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(pool.entries_kept(), 1U);
}

TEST(multicast_pools, free_the_buffer_of_a_large_message) {
  multicast_pool pool;
  send_queue queue({0, 0, 1 << 20, 1 << 20}, pool);
  const std::string text(multicast_pool::bytes_of_one_max + 1, 'x');
  const std::span<const std::byte> one[] = {bytes_of(text)};
  queue.push(one, text.size(), 0);
  queue.front_written(1);
  EXPECT_EQ(pool.entries_kept(), 1U);
  EXPECT_EQ(pool.bytes_kept(), 0U);
}

TEST(multicast_pools, are_bounded_for_all_queues_together) {
  multicast_pool pool;
  std::deque<send_queue> queues;
  const std::string text(1000, 'x');
  const std::span<const std::byte> one[] = {bytes_of(text)};
  for (int i = 0; i < 100; ++i) {
    auto& queue = queues.emplace_back(send_limits{0, 0, 1000, 1000}, pool);
    for (int k = 0; k < 100; ++k) {
      queue.push(one, text.size(), 0);
    }
  }
  for (auto& queue : queues) {
    while (queue.has_unwritten()) {
      queue.front_written(1);
    }
  }
  EXPECT_EQ(pool.entries_kept(), multicast_pool::entries_max);
  EXPECT_LE(pool.bytes_kept(), multicast_pool::bytes_max);
  EXPECT_GT(pool.bytes_kept(), multicast_pool::bytes_max - 2000);
  for (std::size_t i = 0; i < multicast_pool::entries_max; ++i) {
    queues[i % queues.size()].push(one, i % 2 == 0 ? text.size() : 0, 0);
  }
  EXPECT_EQ(pool.entries_kept(), 0U);
  EXPECT_EQ(pool.bytes_kept(), 0U);
}

/// Random sequences of accepting, writing, delivering back, expiring, reporting and losing the connection:
/// each outcome is decided once and correctly, the order is kept, and all room is freed.
RC_GTEST_PROP(send_queue_property, each_is_decided_once_and_all_room_is_freed, ()) {
  struct mine {
    queued_multicast* entry = nullptr;
    bool waits = false, written = false, back = false;
    std::size_t bytes = 0;
    int reports = 0;
    multicast_fate fate = multicast_fate::not_sent;
  };
  multicast_pool pool;
  send_queue queue({SIZE_MAX / 2, 0, SIZE_MAX / 2, 100000}, pool);
  std::deque<mine> all;
  std::deque<mine*> to_write, flying, to_report;
  std::uint64_t written = 0, back = 0;
  int clock = 0;
  const auto fail = [&](queued_multicast& one) {
    queue.fail(one, lost);
    const auto m = std::find_if(all.begin(), all.end(),
                                [&](const mine& x) { return x.entry == &one && x.reports == 0; });
    RC_ASSERT(m != all.end());
    to_report.push_back(&*m);
    std::erase(to_write, &*m);
  };
  const auto report = [&] {
    to_report.front()->entry->report();
    to_report.front()->entry = nullptr;
    to_report.pop_front();
    queue.sweep();
  };
  const auto steps = *rc::gen::container<std::vector<int>>(150, rc::gen::inRange(0, 11));
  for (const int step : steps) {
    ++clock;
    if (step <= 3) {
      mine& m = all.emplace_back();
      m.waits = step != 3;
      m.bytes = static_cast<std::size_t>(clock);
      const std::string text(m.bytes, 'x');
      const std::span<const std::byte> payload[] = {bytes_of(text)};
      const std::size_t counts = m.bytes + (m.waits ? overhead : 0);
      RC_ASSERT(queue.admit(counts, m.bytes, false));
      const auto done = [&m](const multicast_outcome& o) {
        ++m.reports;
        m.fate = o.fate;
      };
      if (!m.waits) {
        queue.push(payload, m.bytes, m.bytes);
      } else if (step == 2 && !queue.has_unwritten()) {
        m.written = true;
        m.entry = &queue.add_written(m.bytes, at_ms(clock + 40), done, ++written);
        flying.push_back(&m);
        continue;
      } else {
        m.entry = &queue.push_confirmed(payload, m.bytes, at_ms(clock + step * 30), done);
      }
      to_write.push_back(&m);
    } else if (step <= 5 && !to_write.empty()) {
      mine& m = *to_write.front();
      to_write.pop_front();
      RC_ASSERT(queue.front().bytes() == m.bytes);
      m.written = true;
      queue.front_written(++written);
      flying.push_back(&m);
    } else if (step <= 7 && !flying.empty()) {
      mine& m = *flying.front();
      flying.pop_front();
      m.back = true;
      queued_multicast* const one = queue.own_delivered(++back);
      RC_ASSERT((one != nullptr) == m.waits);
      if (one != nullptr && !one->decided()) {
        RC_ASSERT(one == m.entry);
        send_queue::confirm(*one, 1);
        to_report.push_back(&m);
      }
      queue.sweep();
    } else if (step == 8) {
      queue.expire(at_ms(clock), fail);
    } else if (step == 9) {
      queue.each_open_written(fail);
      queue.end_connection();
      written = back = 0;
      flying.clear();
    } else if (!to_report.empty()) {
      report();
    }
  }
  queue.drop_waiting(fail);
  queue.each_open(fail);
  queue.end_connection();
  while (!to_report.empty()) {
    report();
  }
  RC_ASSERT(queue.counted() == 0U);
  RC_ASSERT(queue.all_reported() && !queue.has_unwritten() && !queue.expects_own());
  for (const auto& m : all) {
    RC_ASSERT(m.reports == (m.waits ? 1 : 0));
    if (m.waits) {
      RC_ASSERT(m.fate != multicast_fate::confirmed || m.back);
      RC_ASSERT(m.fate != multicast_fate::not_sent || !m.written);
    }
  }
}

}  // namespace
