// One reactor thread's loop: requests of other threads, doorbells, handshakes, freed links, modes, tasks.
#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/runtime/shard_case.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::runtime;
using namespace cpgring::runtime::test;
namespace wire = cpgring::cpg::wire;
using log_lines = std::vector<std::string>;
using std::chrono::milliseconds;

result<void> cross(shard_case& c, handle_core& to, std::string_view text) {
  const payload_of all(text);
  return c.the_shard().submit_multicast(to, all.pieces(), all.size());
}

// --- requests of other threads -----------------------------------------------------------------------------

TEST(shard, runs_requests_of_other_threads_in_order) {
  shard_case c;
  const auto h = c.open_joined();
  ASSERT_TRUE(cross(c, *h, "a"));
  ASSERT_TRUE(c.the_shard().cross([&] {
    EXPECT_TRUE(multicast(*h, "b"));
    c.log.emplace_back("crossed");
  }));
  ASSERT_TRUE(cross(c, *h, "c"));
  EXPECT_EQ(c.log, log_lines{}) << "nothing runs on the caller's thread";
  c.rounds(1);
  EXPECT_EQ(c.log, log_lines{"crossed"});
  EXPECT_EQ(c.clients[0].answers.multicasts, (log_lines{"a", "b", "c"}));
  EXPECT_GE(c.the_shard().stats().crossings, 3U);
}

TEST(shard, passes_messages_larger_than_an_intake_record) {
  shard_case c;
  c.options.ring_bytes = 65536;
  const auto h = c.open_joined();
  const std::string large(20000, 'x');
  ASSERT_TRUE(cross(c, *h, "before"));
  ASSERT_TRUE(cross(c, *h, large));
  ASSERT_TRUE(cross(c, *h, "after"));
  c.rounds(1);
  EXPECT_EQ(c.clients[0].answers.multicasts, (log_lines{"before", large, "after"}));
}

TEST(shard, refuses_requests_while_the_intake_is_full_and_reports_writable_later) {
  shard_case c;
  const auto h = c.open_joined();
  const std::string payload(4000, 'x');
  int accepted = 0;
  while (cross(c, *h, payload)) {
    ++accepted;
  }
  EXPECT_GT(accepted, 10);
  for (int i = 0; i < 8; ++i) {
    c.rounds(1);
    c.clock.advance(milliseconds(1));
  }
  EXPECT_EQ(c.clients[0].answers.multicasts.size(), static_cast<std::size_t>(accepted));
  EXPECT_EQ(c.log, log_lines{"writable"});
}

TEST(shard, closes_a_handle_despite_a_full_intake) {
  shard_case c;
  const auto h = c.open();
  while (c.the_shard().post([] {})) {
  }
  ASSERT_FALSE(c.the_shard().on_driver_thread()) << "the shard was not driven yet";
  h->request_close();
  EXPECT_EQ(h->state(), handle_state::connecting);
  c.rounds(8);
  EXPECT_EQ(h->state(), handle_state::closed);
  EXPECT_EQ(c.log, log_lines{"closed"});
}

TEST(shard, never_registers_a_handle_closed_before_the_first_turn) {
  shard_case c;
  auto h = c.open();
  h->request_close();
  c.rounds(1);
  EXPECT_EQ(c.the_shard().stats().handles, 0U);
  EXPECT_EQ(h->state(), handle_state::closed);
  c.rounds(2);
  EXPECT_EQ(h->present(), nullptr);
}

TEST(shard, reports_not_sent_if_the_handle_ended_before_the_crossing) {
  shard_case c;
  const auto h = c.open_joined();
  const payload_of all("m");
  ASSERT_TRUE(c.the_shard().cross([h] { h->request_close(); }));
  ASSERT_TRUE(h->admit(1 + handle_core::confirmation_overhead, 1));
  ASSERT_TRUE(c.the_shard().submit_confirmed(
      *h, all.bytes(), base::time_point::max(),
      [&c](const multicast_outcome& o) { c.log.push_back(std::string(to_string(o.fate))); }));
  ASSERT_TRUE(cross(c, *h, "dropped"));
  c.rounds(4);
  EXPECT_EQ(std::count(c.log.begin(), c.log.end(), "not sent"), 1);
  EXPECT_EQ(c.clients[0].answers.multicasts, log_lines{});
}

// --- doorbells ---------------------------------------------------------------------------------------------

TEST(shard, rings_once_for_all_multicasts_of_a_round) {
  shard_case c;
  const auto h = c.open_joined();
  const auto before = h->stats().doorbells;
  for (const char* text : {"a", "b", "c"}) {
    ASSERT_TRUE(cross(c, *h, text));
  }
  c.rounds(1);
  EXPECT_EQ(h->stats().doorbells, before + 1);
  auto calls = c.recorder();
  std::shared_ptr<handle_core> other = c.open_joined();
  const auto others = other->stats().doorbells;
  ASSERT_TRUE(c.the_shard().post([&] {
    EXPECT_TRUE(c.the_shard().batching());
    EXPECT_TRUE(multicast(*other, "d"));
    EXPECT_TRUE(multicast(*other, "e"));
  }));
  c.rounds(1);
  EXPECT_EQ(c.clients[1].answers.multicasts, (log_lines{"d", "e"}));
  EXPECT_EQ(other->stats().doorbells, others + 1);
}

TEST(shard, holds_multicasts_until_the_outermost_batch_ends) {
  shard_case c;
  const auto h = c.open_joined();
  c.the_shard().begin_batch();
  c.the_shard().begin_batch();
  ASSERT_TRUE(multicast(*h, "a"));
  ASSERT_TRUE(multicast(*h, "b"));
  EXPECT_EQ(c.clients[0].side->requests_waiting(), 0U);
  c.the_shard().end_batch();
  EXPECT_EQ(c.clients[0].side->requests_waiting(), 0U);
  c.the_shard().end_batch();
  EXPECT_EQ(c.clients[0].side->requests_waiting(), 2U);
  ASSERT_TRUE(multicast(*h, "at once"));
  EXPECT_EQ(c.clients[0].side->requests_waiting(), 3U);
}

// --- handshakes and links ----------------------------------------------------------------------------------

TEST(shard, runs_at_most_handshakes_max_handshakes) {
  auto o = shard_case::default_options();
  o.handshakes_max = 2;
  shard_case c(o);
  c.answers_handshakes = false;
  std::vector<std::shared_ptr<handle_core>> all;
  for (int i = 0; i < 5; ++i) {
    all.push_back(c.open());
  }
  c.rounds(3);
  EXPECT_EQ(c.clients.size(), 2U);
  c.clients[0].side->answer_handshake();
  c.rounds(2);
  EXPECT_EQ(c.clients.size(), 3U) << "one handshake has ended";
  c.clients[1].side->hang_up();
  c.rounds(2);
  EXPECT_EQ(c.clients.size(), 4U) << "one handshake has failed";
  all[4]->request_close();
  c.clients[2].side->answer_handshake();
  c.clients[3].side->answer_handshake();
  c.rounds(3);
  EXPECT_EQ(c.clients.size(), 4U) << "the last was closed before its handshake began";
}

TEST(shard, frees_link_and_handle_only_after_finalize_is_answered) {
  shard_case c;
  auto calls = c.recorder();
  auto captured = std::make_shared<int>(0);
  calls->on_view = [captured](handle&, const view&) {};
  std::weak_ptr<handle_core> freed;
  {
    auto h = c.open_joined(std::move(calls));
    freed = h;
    h->request_close();
  }
  c.answers_requests = false;
  c.rounds(3);
  EXPECT_FALSE(freed.expired()) << "FINALIZE has no answer yet";
  c.answers_requests = true;
  c.rounds(3);
  EXPECT_TRUE(freed.expired());
  EXPECT_EQ(captured.use_count(), 1);
  EXPECT_TRUE(c.clients[0].side->client_gone());
}

TEST(shard, frees_a_handle_only_after_the_callback_that_closes_it) {
  shard_case c;
  auto calls = c.recorder();
  handle_core* raw = nullptr;
  calls->on_message = [&](handle&, const message& m) {
    c.log.emplace_back(m.text());
    raw->request_close();
  };
  auto h = c.open_joined(calls);
  std::weak_ptr<handle_core> freed = h;
  raw = h.get();
  h.reset();
  c.clients[0].side->send_event(cpgring::test::message_event("g", 5, "m0"));
  c.clients[0].side->send_event(cpgring::test::message_event("g", 5, "m1"));
  c.rounds(4);
  EXPECT_EQ(c.log, (log_lines{"m0", "closed"}));
  EXPECT_TRUE(freed.expired());
}

TEST(shard, keeps_the_counters_of_ended_handles) {
  shard_case c;
  c.delivers = true;
  auto h = c.open_joined();
  ASSERT_TRUE(multicast(*h, "abc"));
  c.rounds(2);
  EXPECT_EQ(c.the_shard().stats().handles, 1U);
  h->request_close();
  c.rounds(4);
  h.reset();
  const auto stats = c.the_shard().stats();
  EXPECT_EQ(stats.handles, 0U);
  EXPECT_EQ(stats.total.messages, 1U);
  EXPECT_EQ(stats.total.multicast_bytes, 3U);
  EXPECT_EQ(stats.total.ring_used, 0U);
  std::vector<std::shared_ptr<handle_core>> left;
  c.the_shard().add_handles(left);
  EXPECT_EQ(left.size(), 0U);
}

TEST(shard, reports_loss_and_return_of_a_service_once) {
  log_lines changes;
  auto o = shard_case::default_options();
  o.on_service = [&changes](const service_change& s) { changes.emplace_back(s.there ? "there" : "gone"); };
  shard_case c(o);
  c.options.supervision.reconnect = true;
  const auto a = c.open_joined(), b = c.open_joined();
  EXPECT_EQ(changes, log_lines{});
  c.service_goes();
  c.rounds(3);
  EXPECT_EQ(changes, log_lines{"gone"});
  c.listener.listen();
  c.clock.advance(milliseconds(100));
  c.rounds(8);
  EXPECT_EQ(a->state(), handle_state::joined);
  EXPECT_EQ(b->state(), handle_state::joined);
  EXPECT_EQ(changes, (log_lines{"gone", "there"}));
}

// --- modes -------------------------------------------------------------------------------------------------

struct messages_case : shard_case {
  messages_case() : first(open_joined(recorder("a"))), second(open_joined(recorder("b"))) {
    for (int i = 0; i < 3; ++i) {
      for (auto& one : clients) {
        one.side->send_event(cpgring::test::message_event("g", 5, "m" + std::to_string(i)));
      }
    }
  }
  const std::shared_ptr<handle_core> first, second;
};

TEST(shard, one_runs_one_event_and_reports_whether_more_wait) {
  messages_case c;
  for (std::size_t i = 1; i <= 6; ++i) {
    const auto done = c.dispatch(mode::one);
    ASSERT_TRUE(done);
    EXPECT_EQ(done->events, 1U);
    EXPECT_EQ(done->more, i < 6) << i;
    EXPECT_EQ(c.log.size(), i);
  }
}

TEST(shard, one_nonblocking_returns_try_again_without_events) {
  messages_case c;
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(c.dispatch(mode::one_nonblocking));
  }
  EXPECT_EQ(c.log.size(), 6U);
  EXPECT_EQ(c.dispatch(mode::one_nonblocking).error().code, errc::try_again);
}

TEST(shard, all_runs_only_events_queued_at_its_start) {
  messages_case c;
  ASSERT_TRUE(c.the_shard().post([&c] {
    c.log.emplace_back("task");
    ASSERT_TRUE(c.the_shard().post([&c] { c.log.emplace_back("task of the task"); }));
  }));
  const auto done = c.dispatch(mode::all);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->events, 7U);
  EXPECT_EQ(done->bytes, 12U);
  EXPECT_EQ(std::count(c.log.begin(), c.log.end(), "task of the task"), 0);
  static_cast<void>(c.dispatch(mode::all));
  EXPECT_EQ(c.log.back(), "task of the task");
}

TEST(shard, a_budget_bounds_a_dispatch_call) {
  messages_case c;
  const auto done = c.dispatch(mode::all, {4, 0, {}});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->events, 4U);
  EXPECT_TRUE(done->more);
}

TEST(shard, blocking_runs_until_the_engine_is_stopped) {
  messages_case c;
  ASSERT_TRUE(c.the_shard().post([&c] { c.the_shard().stop(); }));
  EXPECT_TRUE(c.dispatch(mode::blocking));
  EXPECT_TRUE(c.the_shard().stop_requested());
  EXPECT_EQ(c.dispatch(mode::all).error().code, errc::stopped);
  EXPECT_EQ(c.the_shard().post([] {}).error().code, errc::stopped);
}

TEST(shard, can_dispatch_for_one_handle_only) {
  messages_case c;
  ASSERT_TRUE(c.the_shard().dispatch(mode::all, {}, c.second.get()));
  EXPECT_EQ(c.log, (log_lines{"b: m0", "b: m1", "b: m2"}));
  c.rounds(1);
  EXPECT_EQ(c.log.size(), 6U);
}

TEST(shard, dispatch_for_an_ended_handle_runs_its_last_callback_then_fails) {
  shard_case c;
  const auto h = c.open_joined();
  c.service_goes();
  ASSERT_TRUE(c.the_shard().dispatch(mode::one, {}, h.get()));
  EXPECT_EQ(c.log, log_lines{"lost"});
  EXPECT_EQ(c.the_shard().dispatch(mode::one, {}, h.get()).error().code, errc::bad_handle);
}

TEST(shard, refuses_dispatch_inside_a_callback) {
  shard_case c;
  errc found = errc::stopped;
  ASSERT_TRUE(c.the_shard().post([&] {
    EXPECT_TRUE(c.the_shard().inside_here());
    found = c.dispatch().error() == errc::wrong_state ? errc::wrong_state : errc::stopped;
  }));
  c.rounds(1);
  EXPECT_EQ(found, errc::wrong_state);
  EXPECT_FALSE(c.the_shard().inside_here());
}

// --- tasks -------------------------------------------------------------------------------------------------

TEST(shard, logs_a_throwing_task_and_continues) {
  shard_case c;
  c.rounds(1);
  c.lines.clear();
  ASSERT_TRUE(c.the_shard().post([] { throw std::runtime_error("why"); }));
  ASSERT_TRUE(c.the_shard().post([&c] { c.log.emplace_back("behind"); }));
  c.rounds(1);
  EXPECT_EQ(c.log, log_lines{"behind"});
  ASSERT_EQ(c.lines.size(), 1U);
  EXPECT_NE(c.lines[0].find("why"), std::string::npos);
}

TEST(shard, runs_scheduled_tasks_at_their_time) {
  shard_case c;
  c.rounds(1);
  const auto once = c.the_shard().schedule(c.clock.read() + milliseconds(10), milliseconds(0),
                                           [&c] { c.log.emplace_back("once"); });
  const auto often = c.the_shard().schedule(c.clock.read() + milliseconds(10), milliseconds(10),
                                            [&c] { c.log.emplace_back("often"); });
  ASSERT_TRUE(once);
  ASSERT_TRUE(often);
  c.rounds(2);
  EXPECT_EQ(c.log, log_lines{});
  c.clock.advance(milliseconds(10));
  c.rounds(1);
  EXPECT_EQ(c.log, (log_lines{"once", "often"}));
  c.clock.advance(milliseconds(10));
  c.rounds(1);
  EXPECT_EQ(c.log.back(), "often");
  EXPECT_EQ(c.log.size(), 3U);
}

TEST(shard, frees_a_cancelled_task_at_once_on_the_driving_thread) {
  shard_case c;
  auto captured = std::make_shared<int>(0);
  const auto make = [&captured] {
    auto made = std::make_shared<delivery::alarm_state>();
    made->task = [captured] {};
    return made;
  };
  const auto early = make();
  c.the_shard().cancel(early);
  EXPECT_TRUE(early->cancelled);
  EXPECT_EQ(captured.use_count(), 2) << "the shard is not driven yet; its driving thread frees the task";
  c.rounds(1);
  EXPECT_EQ(captured.use_count(), 1);
  c.the_shard().cancel(make());
  EXPECT_EQ(captured.use_count(), 1);
}

TEST(shard, refuses_all_calls_after_the_end) {
  shard_case c;
  const auto h = c.open_joined();
  c.shut_down(milliseconds(0));
  EXPECT_EQ(c.the_shard().post([] {}).error().code, errc::bad_handle);
  EXPECT_EQ(c.the_shard().cross([] {}).error().code, errc::bad_handle);
  EXPECT_EQ(c.the_shard().schedule(c.clock.read(), milliseconds(0), [] {}).error().code, errc::bad_handle);
  EXPECT_EQ(c.the_shard().open(99, c.options, nullptr).error().code, errc::bad_handle);
  EXPECT_EQ(c.dispatch().error().code, errc::bad_handle);
  EXPECT_FALSE(h->alive());
  h->request_close();
}

}  // namespace
