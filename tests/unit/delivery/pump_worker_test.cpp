// The pump with the worker lane: when events are handed over, what waits, when chunks are reclaimed,
// overload. The test plays the workers.
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/delivery/pump_case.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::delivery::test;
using cpgring::cpg::wire::fragment_type;
using cpgring::test::fragment_event;
using cpgring::test::view_event;
using log_lines = std::vector<std::string>;
using std::chrono::milliseconds;

// --- order -------------------------------------------------------------------------------------------------

TEST(pump_worker, runs_messages_in_order_and_reclaims_chunks_only_after_reports) {
  pump_case c({}, 1);
  c.log_messages();
  c.join();
  for (int i = 0; i < 10; ++i) {
    c.send("m" + std::to_string(i));
  }
  const auto done = c.serve();
  EXPECT_EQ(done.events, 10U);
  EXPECT_EQ(c.log, log_lines{});
  EXPECT_EQ(c.ring().leased(), 10U);
  EXPECT_EQ(c.hands[0].run_messages(), 10U);
  EXPECT_EQ(c.log, numbered("m", 10));
  c.serve();
  EXPECT_EQ(c.ring().leased(), 10U) << "no report was taken yet";
  c.shared.workers->take_reports();
  c.serve();
  EXPECT_EQ(c.ring().leased(), 0U);
  EXPECT_EQ(c.counters.messages.get(), 10U);
  EXPECT_EQ(c.counters.message_bytes.get(), 20U);
}

TEST(pump_worker, reclaims_chunks_oldest_first_whatever_order_workers_finish_in) {
  handle_options o;
  o.order = ordering::by_key;
  o.key = [](const message& m) { return m.text() == "slow" ? 0U : 1U; };
  pump_case c(o, 2);
  c.log_messages();
  c.join();
  c.send("slow");
  for (int i = 0; i < 3; ++i) {
    c.send("m" + std::to_string(i));
  }
  c.serve();
  const std::size_t slow = c.hands[0].messages_waiting() == 1 ? 0 : 1;
  ASSERT_EQ(c.hands[slow].messages_waiting(), 1U);
  ASSERT_EQ(c.hands[1 - slow].run_messages(), 3U);
  c.shared.workers->take_reports();
  c.serve();
  EXPECT_EQ(c.log, numbered("m", 3));
  EXPECT_EQ(c.ring().leased(), 4U) << "a worker still has the oldest";
  c.hands[slow].run_messages();
  c.shared.workers->take_reports();
  c.serve();
  EXPECT_EQ(c.ring().leased(), 0U);
}

TEST(pump_worker, runs_a_view_alone_after_all_earlier_and_before_all_later_messages) {
  pump_case c({}, 1);
  c.log_messages();
  c.log_views();
  c.join();
  c.send("m0");
  c.send("m1");
  c.service.send_event(view_event("g", 9));
  c.send("m2");
  c.serve();
  EXPECT_EQ(c.hands[0].messages_waiting(), 2U);
  EXPECT_TRUE(c.made->blocked());
  EXPECT_FALSE(c.made->waiting());
  EXPECT_EQ(c.session->current_view()->members[0].pid, pump_case::own_pid)
      << "the view is unchanged while a worker has a message";
  EXPECT_EQ(c.hands[0].run_messages(1), 1U);
  c.shared.workers->take_reports();
  c.serve();
  EXPECT_EQ(c.hands[0].calls_waiting(), 0U) << "the worker still has a message";
  c.hands[0].run_messages();
  c.shared.workers->take_reports();
  EXPECT_FALSE(c.made->blocked());
  c.serve();
  c.serve();
  EXPECT_EQ(c.hands[0].calls_waiting(), 1U);
  EXPECT_EQ(c.hands[0].messages_waiting(), 0U) << "messages after the view wait for it";
  c.drain();
  EXPECT_EQ(c.log, (log_lines{"m0", "m1", "view of 1", "m2"}));
  EXPECT_EQ(c.ring().leased(), 0U);
}

TEST(pump_worker, delivers_a_fragmented_message_as_an_exclusive_call) {
  pump_case c({}, 1);
  c.log_messages();
  c.join();
  c.send("m0");
  c.service.send_event(fragment_event("g", 5, 6, fragment_type::first, "abc"));
  c.service.send_event(fragment_event("g", 5, 6, fragment_type::last, "def"));
  c.send("m1");
  c.drain();
  EXPECT_EQ(c.log, (log_lines{"m0", "abcdef", "m1"}));
}

TEST(pump_worker, counts_handed_over_messages_against_the_budget) {
  pump_case c({}, 1);
  c.log_messages();
  c.join();
  for (int i = 0; i < 5; ++i) {
    c.send("m" + std::to_string(i));
  }
  const auto done = c.serve({3, 65536, 0});
  EXPECT_EQ(done.events, 3U);
  EXPECT_TRUE(done.more);
  EXPECT_EQ(c.hands[0].messages_waiting(), 3U);
}

TEST(pump_worker, confirms_an_own_message_on_the_worker_after_its_callback) {
  pump_case c({}, 1);
  c.answers.deliver = true;
  c.log_messages();
  c.join();
  c.send("m0");
  c.multicast_confirmed("mine");
  c.answers.serve(c.service);
  c.serve();
  EXPECT_EQ(c.log, log_lines{});
  c.drain();
  EXPECT_EQ(c.log, (log_lines{"m0", "mine", "confirmed 2"}));
}

TEST(pump_worker, runs_adjacent_completions_in_one_call) {
  pump_case c({}, 1);
  c.join();
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(c.session->flush([&c](const result<void>&) { c.log.emplace_back("answer"); },
                                 c.now() + std::chrono::hours(1)));
  }
  ASSERT_TRUE(c.session->progress(c.now()));
  c.answers.serve(c.service);
  c.serve();
  c.serve();
  ASSERT_EQ(c.hands[0].calls_waiting(), 1U);
  c.hands[0].run_calls();
  EXPECT_EQ(c.log, log_lines(4, "answer"));
}

// --- full queues -------------------------------------------------------------------------------------------

TEST(pump_worker, waits_while_its_worker_queue_is_full_and_continues_with_room) {
  pump_case c({}, 1, 4);
  c.log_messages();
  c.join();
  for (int i = 0; i < 10; ++i) {
    c.send("m" + std::to_string(i));
  }
  auto done = c.serve();
  EXPECT_EQ(done.events, 4U);
  EXPECT_TRUE(c.made->blocked());
  EXPECT_FALSE(done.more) << "no turn is needed until the worker reports";
  c.hands[0].run_messages();
  c.shared.workers->take_reports();
  EXPECT_FALSE(c.made->blocked());
  EXPECT_GT(c.listener.turns_wanted, 0);
  c.drain();
  EXPECT_EQ(c.log, numbered("m", 10));
  EXPECT_EQ(c.ring().leased(), 0U);
}

TEST(pump_worker, holds_a_message_for_a_full_worker_and_sends_it_first) {
  handle_options o;
  o.order = ordering::by_key;
  o.key = [](const message&) { return 0U; };
  pump_case c(o, 2, 4);
  c.log_messages();
  c.join();
  for (int i = 0; i < 10; ++i) {
    c.send("m" + std::to_string(i));
  }
  c.serve();
  EXPECT_TRUE(c.on_workers->holds_message());
  c.drain();
  EXPECT_EQ(c.log, numbered("m", 10));
  EXPECT_FALSE(c.on_workers->holds_message());
  EXPECT_EQ(c.ring().leased(), 0U);
}

// --- ends --------------------------------------------------------------------------------------------------

TEST(pump_worker, runs_no_callback_after_a_throwing_one) {
  pump_case c({}, 1);
  c.calls.on_message = [&c](handle&, const message& m) {
    c.log.emplace_back(m.text());
    if (m.text() == "m1") {
      throw std::runtime_error("no more");
    }
  };
  c.join();
  for (int i = 0; i < 4; ++i) {
    c.send("m" + std::to_string(i));
  }
  c.serve();
  c.run_workers();
  EXPECT_EQ(c.log, numbered("m", 2));
  ASSERT_EQ(c.listener.ends.size(), 1U);
  EXPECT_EQ(c.listener.ends[0].code, errc::callback_threw);
  c.serve();
  EXPECT_EQ(c.ring().leased(), 0U) << "undelivered chunks are reclaimed too";
  EXPECT_EQ(c.counters.messages.get(), 2U);
}

TEST(pump_worker, loses_the_connection_only_after_all_messages_are_handed_over) {
  pump_case c({}, 1, 4);
  c.log_messages();
  c.join();
  for (int i = 0; i < 6; ++i) {
    c.send("m" + std::to_string(i));
  }
  c.made->hung_up();
  c.serve();
  EXPECT_EQ(c.listener.losses.size(), 0U);
  c.run_workers();
  c.serve();
  EXPECT_EQ(c.listener.losses.size(), 1U);
  c.run_workers();
  EXPECT_EQ(c.log, numbered("m", 6)) << "messages already handed over still run";
}

TEST(pump_worker, a_lease_made_on_a_worker_holds_its_chunk_until_released) {
  pump_case c({}, 1);
  std::vector<lease> kept;
  c.calls.on_message = [&](handle&, const message& m) {
    if (m.text() == "m1") {
      kept.push_back(std::move(m.retain().value()));
    }
  };
  c.join();
  for (int i = 0; i < 4; ++i) {
    c.send("m" + std::to_string(i));
  }
  c.drain();
  EXPECT_EQ(c.ring().leased(), 3U);
  EXPECT_EQ(kept.at(0).pin().text(), "m1");
  kept.clear();
  c.serve();
  EXPECT_EQ(c.ring().leased(), 0U);
}

TEST(pump_worker, checks_the_ring_every_20_ms_while_workers_have_chunks) {
  pump_case c({}, 1);
  c.log_messages();
  c.join();
  c.serve();
  EXPECT_FALSE(c.made->due());
  c.send("m");
  c.serve();
  EXPECT_EQ(c.made->due(), c.now() + milliseconds(20));
  c.run_workers();
  c.advance(milliseconds(20));
  c.made->on_timer(*c.on_workers);
  EXPECT_EQ(c.ring().leased(), 0U);
  EXPECT_FALSE(c.made->due());
}

// --- overload ----------------------------------------------------------------------------------------------

/// A handle with an idle worker. Its ring is over three quarters full for longer than the check interval.
struct overloaded_case : pump_case {
  explicit overloaded_case(overload policy, std::size_t copies_max = std::size_t{1} << 20)
      : pump_case(options_with(policy, copies_max), 1, 4) {
    log_messages();
    calls.on_overload = [this](handle&, const overload_warning&) { ++warnings; };
    join();
    fill();
    serve();
    advance(milliseconds(3));
  }
  static handle_options options_with(overload policy, std::size_t copies_max) {
    handle_options o;
    o.when_overloaded = policy;
    o.copy_out_bytes_max = copies_max;
    return o;
  }
  void fill() {
    while (ring().used_bytes() < ring().capacity_bytes() / 5 * 4) {
      send("m" + std::to_string(sent++) + std::string(600, '.'));
    }
  }
  /// The number of delivered messages; fails if they have a gap.
  [[nodiscard]] int delivered() const {
    int next = 0;
    for (const auto& one : log) {
      EXPECT_EQ(one.substr(0, one.find('.')), "m" + std::to_string(next));
      ++next;
    }
    return next;
  }
  int sent = 0, warnings = 0;
};

TEST(pump_worker, hold_leaves_the_ring_full_and_warns_once) {
  overloaded_case c(overload::hold);
  c.made->on_timer(*c.on_workers);
  c.advance(milliseconds(3));
  c.made->on_timer(*c.on_workers);
  EXPECT_EQ(c.warnings, 1);
  EXPECT_GT(c.ring().used_bytes(), c.ring().capacity_bytes() / 4 * 3);
  EXPECT_EQ(c.listener.ends.size(), 0U);
  c.drain();
  EXPECT_EQ(c.delivered(), c.sent);
}

TEST(pump_worker, disconnect_ends_the_handle) {
  overloaded_case c(overload::disconnect);
  c.made->on_timer(*c.on_workers);
  ASSERT_EQ(c.listener.ends.size(), 1U);
  EXPECT_EQ(c.listener.ends[0].code, errc::overloaded);
}

TEST(pump_worker, copy_out_empties_the_ring_and_keeps_the_order) {
  overloaded_case c(overload::copy_out);
  c.made->on_timer(*c.on_workers);
  EXPECT_EQ(c.ring().used_bytes(), 0U);
  EXPECT_NE(c.on_workers->copy_bytes(), 0U);
  EXPECT_EQ(c.on_workers->copied_out(), static_cast<std::uint64_t>(c.sent));
  c.fill();
  c.drain();
  EXPECT_EQ(c.delivered(), c.sent);
  EXPECT_EQ(c.on_workers->copy_bytes(), 0U);
  EXPECT_EQ(c.ring().used_bytes(), 0U);
}

TEST(pump_worker, copy_out_stops_at_the_limit_of_the_handle) {
  overloaded_case c(overload::copy_out, 3072);
  c.made->on_timer(*c.on_workers);
  EXPECT_EQ(c.on_workers->copied_out(), 3U);
  EXPECT_LE(c.on_workers->copy_bytes(), 3072U);
  EXPECT_NE(c.ring().used_bytes(), 0U);
  c.drain();
  EXPECT_EQ(c.delivered(), c.sent);
  EXPECT_EQ(c.on_workers->copy_bytes(), 0U);
}

TEST(pump_worker, copy_out_skips_a_message_that_its_worker_has_begun) {
  overloaded_case c(overload::copy_out);
  c.pool->link(0, 0).claim(c.pool->link(0, 0).work_ends.out.begin() + 1);
  c.made->on_timer(*c.on_workers);
  EXPECT_EQ(c.on_workers->copied_out(), 3U)
      << "three of the worker's four; unread messages come after the begun one";
  EXPECT_NE(c.ring().used_bytes(), 0U);
  c.drain();
  EXPECT_EQ(c.delivered(), c.sent);
}

TEST(pump_worker, frees_undelivered_copies_when_the_connection_ends) {
  overloaded_case c(overload::copy_out);
  c.made->on_timer(*c.on_workers);
  c.made->stop(true);
  c.on_workers->stop_callbacks();
  c.run_workers();
  ASSERT_NE(c.on_workers->copy_bytes(), 0U) << "copies of unread messages";
  c.made->release_ring(*c.on_workers, c.session->give_up_connection());
  EXPECT_EQ(c.on_workers->copy_bytes(), 0U);
  EXPECT_EQ(c.log, log_lines{});
}

}  // namespace
