// The worker lane alone: choice of worker, waiting, effects of reports. The test plays the workers.
#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/delivery/pump_case.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::delivery;
using namespace cpgring::delivery::test;
using log_lines = std::vector<std::string>;

struct joined_case : pump_case {
  joined_case(handle_options o, std::uint32_t workers, std::size_t queue)
      : pump_case(std::move(o), workers, queue) {
    log_messages();
    join();
  }
};

/// The lane of a joined handle. The test fills the batches.
struct lane_case : joined_case {
  explicit lane_case(handle_options o = {}, std::uint32_t workers = 1, std::size_t queue = 8)
      : joined_case(std::move(o), workers, queue) {}
  /// Hands over messages with these texts; message i is from sender `pids[i % pids.size()]`.
  batch_outcome hand(const std::vector<std::string>& texts, const std::vector<std::uint32_t>& pids = {5}) {
    t.batch.clear();
    t.batch_copy = nullptr;
    t.batch_claim = ledger().claim(static_cast<std::uint32_t>(texts.size()));
    for (std::size_t i = 0; i < texts.size(); ++i) {
      auto& one = *kept.emplace_back(std::make_unique<std::string>(texts[i]));
      t.batch.push({reinterpret_cast<std::byte*>(one.data()), static_cast<std::uint32_t>(one.size()), 1,
                    pids[i % pids.size()], 200});
    }
    const auto done = lane().messages(t, "g", sequence, [] { return true; });
    lane().flush();
    return done;
  }
  void call(const std::string& name, bool completes = false) {
    lane().queue_call([this, name] { log.push_back(name); }, completes);
  }
  /// Calls lane().ready() and flushes, so that workers see the calls it sent.
  bool ready() {
    const bool yes = lane().ready(t);
    lane().flush();
    return yes;
  }
  worker_lane& lane() { return *on_workers; }
  leasing::chunk_ledger& ledger() { return made->ledger(); }
  std::size_t at(std::size_t worker) { return hands[worker].messages_waiting(); }

  const reactor::turn_budget budget{256, 65536, 0};
  turn t{budget, handle(), *session->connection()};
  std::uint64_t sequence = 0;
  std::vector<std::unique_ptr<std::string>> kept;
};

handle_options ordered(ordering how) {
  handle_options o;
  o.order = how;
  if (how == ordering::by_key) {
    o.key = [](const message& m) { return static_cast<std::uint64_t>(m.text().front()); };
  }
  return o;
}

// --- worker choice -----------------------------------------------------------------------------------------

TEST(worker_lane, by_handle_sends_everything_to_one_worker) {
  lane_case c({}, 3);
  c.hand(numbered("m", 6), {5, 6, 7});
  EXPECT_EQ(c.at(0), 6U);
  EXPECT_EQ(c.at(1) + c.at(2), 0U);
}

TEST(worker_lane, by_sender_keeps_the_messages_of_each_sender_on_one_worker_in_order) {
  lane_case c(ordered(ordering::by_sender), 2, 64);
  std::vector<std::uint32_t> pids;
  for (std::uint32_t pid = 0; pid < 16; ++pid) {
    pids.push_back(1000 + pid);
  }
  c.hand(numbered("m", 32), pids);
  EXPECT_NE(c.at(0), 0U);
  EXPECT_NE(c.at(1), 0U);
  for (auto& one : c.hands) {
    c.log.clear();
    one.run_messages();
    for (int i = 0; i < 16; ++i) {
      const auto first = std::find(c.log.begin(), c.log.end(), "m" + std::to_string(i));
      const auto second = std::find(c.log.begin(), c.log.end(), "m" + std::to_string(i + 16));
      EXPECT_EQ(first == c.log.end(), second == c.log.end()) << i;
      EXPECT_LE(first, second) << i;
    }
  }
}

TEST(worker_lane, by_key_sends_equal_keys_to_the_same_worker) {
  lane_case c(ordered(ordering::by_key), 2, 64);
  std::vector<std::string> texts;
  for (char key = 'a'; key < 'i'; ++key) {
    texts.push_back(std::string(1, key) + "1");
    texts.push_back(std::string(1, key) + "2");
  }
  c.hand(texts);
  for (auto& one : c.hands) {
    c.log.clear();
    one.run_messages();
    EXPECT_NE(c.log.size(), 0U);
    for (std::size_t i = 0; i + 1 < c.log.size(); i += 2) {
      EXPECT_EQ(c.log[i].front(), c.log[i + 1].front());
      EXPECT_EQ(c.log[i + 1].back(), '2');
    }
  }
}

TEST(worker_lane, unordered_sends_each_message_to_the_least_loaded_worker) {
  lane_case c(ordered(ordering::unordered), 2);
  c.hand(numbered("m", 4));
  EXPECT_EQ(c.at(0), 2U);
  EXPECT_EQ(c.at(1), 2U);
  c.hands[1].run_messages();
  c.shared.workers->take_reports();
  c.hand(numbered("m", 2));
  EXPECT_EQ(c.at(0), 2U);
  EXPECT_EQ(c.at(1), 2U);
}

TEST(worker_lane, a_throwing_key_function_ends_the_batch_and_frees_its_chunk) {
  auto o = ordered(ordering::by_key);
  o.key = [](const message& m) -> std::uint64_t {
    if (m.text() == "bad") {
      throw std::runtime_error("no key");
    }
    return 0;
  };
  lane_case c(o, 2);
  const auto done = c.hand({"good", "bad", "next"});
  ASSERT_TRUE(done.failure);
  EXPECT_EQ(done.failure->code, errc::callback_threw);
  EXPECT_EQ(c.lane().messages_out(), 1U);
  EXPECT_EQ(c.ledger().open(), 2U) << "good with the worker, next still claimed";
  c.run_workers();
  EXPECT_EQ(c.log, log_lines{"good"});
}

// --- room --------------------------------------------------------------------------------------------------

TEST(worker_lane, by_handle_has_the_room_of_its_worker) {
  lane_case c({}, 2, 8);
  EXPECT_EQ(c.lane().room(), 8U);
  c.hand(numbered("m", 5));
  EXPECT_EQ(c.lane().room(), 3U);
  c.hand(numbered("m", 3));
  EXPECT_EQ(c.lane().room(), 0U);
  c.hands[0].run_messages();
  EXPECT_EQ(c.lane().room(), 0U) << "no report was taken yet";
  c.shared.workers->take_reports();
  EXPECT_EQ(c.lane().room(), 8U);
}

TEST(worker_lane, other_orders_have_the_room_of_the_fullest_worker_and_hold_one_more) {
  auto o = ordered(ordering::by_key);
  o.key = [](const message&) { return 0U; };
  lane_case c(o, 2, 4);
  EXPECT_EQ(c.lane().room(), 4U);
  c.hand(numbered("m", 4));
  EXPECT_EQ(c.lane().room(), 1U);
  c.hand({"held"});
  EXPECT_TRUE(c.lane().holds_message());
  EXPECT_FALSE(c.ready()) << "a held message blocks all others";
  EXPECT_TRUE(c.lane().blocked(false));
  c.run_workers();
  EXPECT_EQ(c.listener.turns_wanted, 1);
  EXPECT_TRUE(c.ready());
  EXPECT_FALSE(c.lane().holds_message());
  c.run_workers();
  EXPECT_EQ(c.log, (log_lines{"m0", "m1", "m2", "m3", "held"}));
  EXPECT_EQ(c.ledger().open(), 0U);
}

TEST(worker_lane, sends_no_call_to_a_worker_without_room_for_calls) {
  lane_case c({}, 1, 4);
  for (int i = 0; i < 4; ++i) {
    c.shared.workers->queue(0, dispatch::exclusive_call{&c.lane(), [] {}});
  }
  c.call("view");
  EXPECT_FALSE(c.ready());
  EXPECT_TRUE(c.lane().calls_waiting());
  EXPECT_TRUE(c.lane().blocked(false));
  c.lane().flush();
  c.hands[0].run_calls();
  c.shared.workers->take_reports();
  EXPECT_FALSE(c.ready());
  EXPECT_FALSE(c.lane().calls_waiting()) << "the worker has it now";
}

// --- exclusive calls ---------------------------------------------------------------------------------------

TEST(worker_lane, sends_a_call_alone_and_nothing_more_before_its_report) {
  lane_case c;
  c.hand({"m0"});
  c.call("view");
  EXPECT_FALSE(c.ready());
  EXPECT_EQ(c.hands[0].calls_waiting(), 0U);
  EXPECT_TRUE(c.lane().blocked(false));
  c.run_workers();
  EXPECT_TRUE(c.lane().alone());
  EXPECT_FALSE(c.ready());
  EXPECT_EQ(c.hands[0].calls_waiting(), 1U);
  EXPECT_FALSE(c.lane().alone());
  EXPECT_FALSE(c.ready());
  c.hands[0].run_calls();
  EXPECT_FALSE(c.ready()) << "its report was not taken yet";
  c.shared.workers->take_reports();
  EXPECT_TRUE(c.ready());
  EXPECT_TRUE(c.lane().idle());
  EXPECT_EQ(c.log, (log_lines{"m0", "view"}));
}

TEST(worker_lane, a_fence_waits_for_all_messages_at_workers) {
  lane_case c;
  EXPECT_FALSE(c.lane().blocked(true));
  c.hand({"m0"});
  EXPECT_FALSE(c.lane().blocked(false));
  EXPECT_TRUE(c.lane().blocked(true));
  c.run_workers();
  EXPECT_FALSE(c.lane().blocked(true));
}

TEST(worker_lane, sends_completions_together_but_each_view_separately) {
  lane_case c;
  c.call("done 0", true);
  c.call("done 1", true);
  c.call("view");
  c.call("done 2", true);
  log_lines after_each;
  while (!c.lane().idle()) {
    c.ready();
    ASSERT_EQ(c.hands[0].run_calls(), 1U);
    c.shared.workers->take_reports();
    after_each.push_back(c.log.back());
  }
  EXPECT_EQ(after_each, (log_lines{"done 1", "view", "done 2"}));
}

TEST(worker_lane, sends_at_most_the_budgeted_number_of_completions) {
  lane_case c;
  for (int i = 0; i < 3; ++i) {
    c.call("done " + std::to_string(i), true);
  }
  const reactor::turn_budget two{2, 65536, 0};
  turn small(two, handle(), *c.session->connection());
  static_cast<void>(c.lane().ready(small));
  EXPECT_EQ(small.events, 2U);
  c.lane().flush();
  c.hands[0].run_calls();
  EXPECT_EQ(c.log.size(), 2U);
}

TEST(worker_lane, runs_every_completion_of_a_call_despite_an_exception) {
  lane_case c;
  c.call("a", true);
  c.lane().queue_call([] { throw std::runtime_error("first"); }, true);
  c.call("b", true);
  c.ready();
  c.run_workers();
  EXPECT_EQ(c.log, (log_lines{"a", "b"}));
  ASSERT_EQ(c.listener.ends.size(), 1U);
  EXPECT_NE(c.listener.ends[0].message().find("first"), std::string::npos);
}

TEST(worker_lane, publishes_the_state_before_sending_a_call) {
  lane_case c;
  c.call("view");
  c.listener.published = 0;
  c.ready();
  EXPECT_EQ(c.listener.published, 1);
}

TEST(worker_lane, forget_callbacks_drops_all_calls_but_completions) {
  lane_case c;
  c.call("view");
  c.call("done", true);
  c.lane().forget_callbacks();
  c.lane().send_remaining_calls();
  c.run_workers();
  EXPECT_EQ(c.log, log_lines{"done"});
  EXPECT_TRUE(c.lane().idle());
}

TEST(worker_lane, sends_the_last_calls_after_all_messages_are_reported) {
  lane_case c;
  c.hand({"m0"});
  c.call("closed");
  c.lane().send_remaining_calls();
  EXPECT_EQ(c.hands[0].calls_waiting(), 0U);
  c.run_workers();
  c.lane().send_remaining_calls();
  EXPECT_EQ(c.hands[0].calls_waiting(), 1U);
  c.run_workers();
  EXPECT_EQ(c.log, (log_lines{"m0", "closed"}));
}

// --- reports and ends --------------------------------------------------------------------------------------

TEST(worker_lane, counts_messages_and_frees_chunks_by_report) {
  lane_case c;
  c.hand({"a", "bb", "ccc"});
  c.hands[0].run_messages(2);
  c.shared.workers->take_reports();
  EXPECT_EQ(c.lane().messages_out(), 1U);
  EXPECT_EQ(c.ledger().open(), 1U);
  EXPECT_EQ(c.counters.messages.get(), 2U);
  EXPECT_EQ(c.counters.message_bytes.get(), 3U);
  EXPECT_FALSE(c.lane().alone());
}

TEST(worker_lane, asks_for_a_turn_after_a_report_only_while_awaiting_reports) {
  lane_case c;
  c.hand({"a"});
  c.run_workers();
  EXPECT_EQ(c.listener.turns_wanted, 0);
  EXPECT_EQ(c.listener.continues, 1);
  c.lane().await_reports(true);
  EXPECT_EQ(c.shared.reports_awaited, 1U);
  c.lane().await_reports(true);
  EXPECT_EQ(c.shared.reports_awaited, 1U) << "counted once";
  c.hand({"b"});
  c.run_workers();
  EXPECT_EQ(c.listener.turns_wanted, 1);
  c.lane().await_reports(false);
  EXPECT_EQ(c.shared.reports_awaited, 0U);
}

TEST(worker_lane, skips_callbacks_but_runs_confirmations_after_stop_callbacks) {
  lane_case c;
  c.multicast_confirmed("a");
  auto* const waits = c.session->own_delivered(1).value();
  ASSERT_NE(waits, nullptr);
  cpg::session::confirm(*waits, 1);
  c.t.confirmed = waits;
  c.hand({"a"});
  c.lane().stop_callbacks();
  c.run_workers();
  EXPECT_EQ(c.log, log_lines{"confirmed 1"}) << "a confirmation is not a callback of the handle";
  EXPECT_EQ(c.ledger().open(), 0U);
  EXPECT_EQ(c.counters.messages.get(), 0U);
}

TEST(worker_lane, runs_nothing_after_a_stop_request) {
  lane_case c;
  c.multicast_confirmed("a");
  auto* const waits = c.session->own_delivered(1).value();
  cpg::session::confirm(*waits, 1);
  c.t.confirmed = waits;
  c.hand({"a"});
  c.shared.stop_requested = true;
  c.run_workers();
  EXPECT_EQ(c.log, log_lines{}) << "the shutdown runs the confirmation";
  EXPECT_EQ(c.ledger().open(), 0U);
}

TEST(worker_lane, drop_held_returns_the_confirmation_of_the_held_message) {
  lane_case c({}, 1, 4);
  c.multicast_confirmed("x");
  auto* const waits = c.session->own_delivered(1).value();
  c.hand(numbered("m", 4));
  c.t.confirmed = waits;
  c.hand({"x"});
  ASSERT_TRUE(c.lane().holds_message());
  EXPECT_EQ(c.lane().drop_held(), waits);
  EXPECT_EQ(c.lane().drop_held(), nullptr) << "returned once";
}

TEST(worker_lane, is_idle_once_the_workers_have_ended) {
  lane_case c;
  c.hand({"m0"});
  c.call("view");
  c.lane().workers_ended();
  EXPECT_TRUE(c.lane().idle());
  EXPECT_EQ(c.lane().messages_out(), 0U);
}

TEST(worker_lane, a_destroyed_lane_awaits_neither_room_nor_reports) {
  lane_case c({}, 1, 4);
  c.hand(numbered("m", 4));
  EXPECT_TRUE(c.lane().blocked(false));
  c.lane().await_reports(true);
  c.lane().workers_ended();
  c.lane().await_reports(true);
  ASSERT_EQ(c.shared.reports_awaited, 1U);
  c.made->stop(true);
  c.hands[0].run_messages();
  c.shared.workers->take_reports();
  c.on_workers.reset();
  EXPECT_EQ(c.shared.reports_awaited, 0U);
}

TEST(worker_lane, a_destroyed_lane_is_removed_from_the_waiters_for_room) {
  lane_case c({}, 1, 4);
  worker_lane other(c.who, c.shared, c.ledger(), c.made->leases(), *c.session, c.listener, 0);
  c.hand(numbered("m", 4));
  {
    worker_lane gone(c.who, c.shared, c.ledger(), c.made->leases(), *c.session, c.listener, 0);
    EXPECT_TRUE(gone.blocked(false));
  }
  EXPECT_TRUE(other.blocked(false));
  c.run_workers();
  EXPECT_EQ(c.listener.turns_wanted, 1) << "only the remaining lane is called";
}

}  // namespace
