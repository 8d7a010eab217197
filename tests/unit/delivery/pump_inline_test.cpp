// The pump with the inline lane: what a turn processes, the order of callbacks, when chunks are reclaimed.
#include <cstddef>
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

// --- order and numbers -------------------------------------------------------------------------------------

TEST(pump_inline, delivers_messages_in_ring_order_and_reclaims_their_chunks) {
  pump_case c;
  std::vector<std::uint64_t> sequences;
  c.calls.on_message = [&c, &sequences](handle&, const message& m) {
    c.log.emplace_back(m.text());
    sequences.push_back(m.sequence());
    EXPECT_EQ(m.group(), "g");
    EXPECT_EQ(m.sender_pid(), 5U);
  };
  c.join();
  for (int i = 0; i < 40; ++i) {
    c.send("m" + std::to_string(i));
  }
  const auto done = c.serve();
  EXPECT_EQ(c.log, numbered("m", 40));
  EXPECT_EQ(done.events, 40U);
  EXPECT_FALSE(done.more);
  EXPECT_EQ(sequences.front(), 1U);
  EXPECT_EQ(sequences.back(), 40U);
  EXPECT_EQ(c.counters.messages.get(), 40U);
  EXPECT_EQ(c.counters.message_bytes.get(), 10U * 2 + 30U * 3);
  EXPECT_EQ(c.ring().leased(), 0U);
  EXPECT_EQ(c.ring().used_bytes(), 0U);
}

TEST(pump_inline, runs_a_view_between_the_messages_around_it) {
  pump_case c;
  c.log_messages();
  c.log_views();
  c.join();
  c.send("a");
  c.service.send_event(view_event("g", 9));
  c.send("b");
  c.serve();
  EXPECT_EQ(c.log, (log_lines{"a", "view of 1", "b"}));
  EXPECT_EQ(c.counters.views.get(), 2U) << "including the own join";
}

TEST(pump_inline, publishes_a_state_before_its_callback_runs) {
  pump_case c;
  int published_at_state = 0, published_at_view = 0;
  c.calls.on_state = [&](handle&, const state_change& s) {
    published_at_state = c.listener.published;
    c.log.push_back("state " + std::string(to_string(s.to)));
  };
  c.calls.on_view = [&](handle&, const view&) {
    published_at_view = c.listener.published;
    c.log.emplace_back("view");
  };
  c.begin();
  ASSERT_TRUE(c.session->join("g", {}, c.now()));
  ASSERT_TRUE(c.session->progress(c.now()));
  c.answers.serve(c.service);  // the node id
  c.serve();
  c.answers.serve(c.service);  // the join, and the view
  c.listener.published = 0;
  c.serve();
  EXPECT_EQ(c.log, (log_lines{"state ready", "state joining", "view", "state joined"}));
  EXPECT_GT(published_at_view, 0);
  EXPECT_GT(published_at_state, published_at_view);
}

TEST(pump_inline, reclaims_chunks_of_messages_without_a_callback) {
  pump_case c;
  c.log_views();
  c.join();
  for (int i = 0; i < 10; ++i) {
    c.send("m");
  }
  c.service.send_event(view_event("g", 9));
  const auto done = c.serve();
  EXPECT_EQ(done.events, 1U);
  EXPECT_EQ(done.bytes, 10U) << "skipped messages count against the byte budget";
  EXPECT_EQ(c.log, log_lines{"view of 1"});
  EXPECT_EQ(c.ring().used_bytes(), 0U);
}

// --- budget ------------------------------------------------------------------------------------------------

TEST(pump_inline, runs_at_most_the_budgeted_number_of_callbacks) {
  pump_case c;
  c.log_messages();
  c.log_views();
  c.join();
  for (const char* text : {"m0", "m1", "m2", "m3"}) {
    c.send(text);
  }
  c.service.send_event(view_event("g", 9));
  auto done = c.serve({3, 65536, 0});
  EXPECT_EQ(done.events, 3U);
  EXPECT_TRUE(done.more);
  EXPECT_EQ(c.log, numbered("m", 3));
  done = c.serve({1, 65536, 0});
  EXPECT_TRUE(done.more);
  done = c.serve({1, 65536, 0});
  EXPECT_FALSE(done.more);
  EXPECT_EQ(c.log.back(), "view of 1");
}

TEST(pump_inline, starts_no_message_after_the_byte_budget_is_spent) {
  pump_case c;
  c.log_messages();
  c.join();
  for (int i = 0; i < 5; ++i) {
    c.send(std::string(100, 'x'));
  }
  const auto done = c.serve({256, 250, 0});
  EXPECT_EQ(done.events, 3U);
  EXPECT_EQ(done.bytes, 300U);
  EXPECT_TRUE(done.more);
}

TEST(pump_inline, a_bounded_pass_takes_only_events_queued_at_its_start) {
  pump_case c;
  c.calls.on_message = [&c](handle&, const message& m) {
    c.log.emplace_back(m.text());
    c.send("later");
  };
  c.join();
  c.send("m0");
  c.send("m1");
  c.send("m2");
  auto done = c.serve({2, 65536, 1});
  EXPECT_TRUE(done.more);
  done = c.serve({256, 65536, 1});
  EXPECT_FALSE(done.more) << "later events are not part of this pass";
  EXPECT_EQ(c.log, numbered("m", 3));
  done = c.serve({256, 65536, 2});
  EXPECT_EQ(done.events, 3U);
}

TEST(pump_inline, shares_a_small_budget_between_answers_and_messages) {
  pump_case c;
  c.log_messages();
  c.join();
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(c.session->flush([&c](const result<void>&) { c.log.emplace_back("answer"); },
                                 c.now() + std::chrono::hours(1)));
  }
  ASSERT_TRUE(c.session->progress(c.now()));
  c.answers.serve(c.service);
  for (int i = 0; i < 4; ++i) {
    c.send("message");
  }
  for (int i = 0; i < 4; ++i) {
    c.serve({1, 65536, 0});
  }
  EXPECT_EQ(std::count(c.log.begin(), c.log.end(), "answer"), 2);
  EXPECT_EQ(std::count(c.log.begin(), c.log.end(), "message"), 2);
}

// --- chunks ------------------------------------------------------------------------------------------------

TEST(pump_inline, keeps_a_chunk_while_its_callback_runs) {
  pump_case c;
  c.calls.on_message = [&c](handle&, const message&) { EXPECT_NE(c.ring().leased(), 0U); };
  c.join();
  c.send("m");
  c.serve();
  EXPECT_EQ(c.ring().leased(), 0U);
}

TEST(pump_inline, reclaims_chunks_within_a_long_turn) {
  pump_case c;
  std::vector<std::uint32_t> used;
  c.calls.on_message = [&](handle&, const message&) { used.push_back(c.ring().used_bytes()); };
  c.join();
  for (int i = 0; i < 60; ++i) {
    c.send(std::string(40, 'x'));
  }
  c.serve();
  ASSERT_EQ(used.size(), 60U);
  EXPECT_EQ(used[0], used[31]) << "chunks are held until their batch ends";
  EXPECT_LT(used[32], used[31]);
}

TEST(pump_inline, a_lease_holds_its_chunk_and_all_later_ones_until_released) {
  pump_case c;
  lease kept;
  c.calls.on_message = [&](handle&, const message& m) {
    c.log.emplace_back(m.text());
    if (m.text() == "m1") {
      kept = std::move(m.retain().value());
    }
  };
  c.join();
  for (const char* text : {"m0", "m1", "m2"}) {
    c.send(text);
  }
  c.serve();
  EXPECT_EQ(c.log, numbered("m", 3));
  EXPECT_EQ(c.ring().leased(), 2U);
  EXPECT_TRUE(kept.in_ring());
  EXPECT_EQ(kept.pin().text(), "m1");
  kept.release();
  c.serve();
  EXPECT_EQ(c.ring().leased(), 0U);
}

TEST(pump_inline, an_expired_lease_is_copied_out_of_the_ring) {
  handle_options o;
  o.lease_age_max = std::chrono::milliseconds(100);
  pump_case c(o);
  lease kept;
  c.calls.on_message = [&](handle&, const message& m) { kept = std::move(m.retain().value()); };
  c.join();
  c.send("text");
  c.serve();
  ASSERT_TRUE(c.made->due());
  EXPECT_EQ(*c.made->due(), c.now() + std::chrono::milliseconds(100));
  c.advance(std::chrono::milliseconds(99));
  c.made->on_timer(*c.in_turn);
  EXPECT_TRUE(kept.in_ring());
  c.advance(std::chrono::milliseconds(1));
  c.made->on_timer(*c.in_turn);
  EXPECT_FALSE(kept.in_ring());
  EXPECT_EQ(kept.pin().text(), "text");
  EXPECT_EQ(c.ring().leased(), 0U);
  EXPECT_FALSE(c.made->due());
}

TEST(pump_inline, pinned_bytes_outlive_the_connection) {
  pump_case c;
  lease kept;
  c.calls.on_message = [&](handle&, const message& m) { kept = std::move(m.retain().value()); };
  c.join();
  c.send("text");
  c.serve();
  {
    const pinned bytes = kept.pin();
    c.made->release_ring(*c.in_turn, c.session->give_up_connection());
    EXPECT_EQ(bytes.text(), "text");
  }
  EXPECT_EQ(kept.pin().text(), "text");
}

TEST(pump_inline, pokes_the_service_after_draining_a_full_ring) {
  pump_case c;
  c.log_messages();
  c.join();
  c.send("m");
  c.serve();
  EXPECT_EQ(c.service.take_requests().size(), 0U) << "the ring was never full";
  for (int i = 0; i < 14; ++i) {
    c.send(std::string(1000, 'x'));
  }
  c.serve();
  const auto requests = c.service.take_requests();
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].id(), cpg::wire::request::local_get);
}

// --- confirmations -----------------------------------------------------------------------------------------

TEST(pump_inline, confirms_an_own_message_after_its_callback_with_its_number) {
  pump_case c;
  c.answers.deliver = true;
  c.log_messages();
  c.join();
  c.multicast_confirmed("mine");
  c.send("first");
  c.answers.serve(c.service);
  c.send("next");
  c.serve();
  EXPECT_EQ(c.log, (log_lines{"first", "mine", "confirmed 2", "next"}));
}

TEST(pump_inline, confirms_an_own_message_without_a_message_callback) {
  pump_case c;
  c.answers.deliver = true;
  c.join();
  c.multicast_confirmed("mine");
  c.answers.serve(c.service);
  c.serve();
  EXPECT_EQ(c.log, log_lines{"confirmed 1"});
}

TEST(pump_inline, loses_the_connection_if_an_own_message_has_the_wrong_length) {
  pump_case c;
  c.log_messages();
  c.join();
  c.multicast_confirmed("mine");
  c.send("other", pump_case::own_pid);
  c.serve();
  ASSERT_EQ(c.listener.losses.size(), 1U);
  EXPECT_EQ(c.listener.losses[0].code, errc::malformed);
}

// --- fragments and views -----------------------------------------------------------------------------------

TEST(pump_inline, delivers_a_fragmented_message_once_and_whole) {
  pump_case c;
  c.calls.on_message = [&c](handle&, const message& m) {
    c.log.push_back(std::string(m.text()) + (m.fragmented() ? " whole " : " ") +
                    std::to_string(m.sequence()));
  };
  c.join();
  c.service.send_event(fragment_event("g", 5, 9, fragment_type::first, "abc"));
  c.send("small", 6);
  c.service.send_event(fragment_event("g", 5, 9, fragment_type::middle, "def"));
  c.service.send_event(fragment_event("g", 5, 9, fragment_type::last, "ghi"));
  c.serve();
  EXPECT_EQ(c.log, (log_lines{"small 1", "abcdefghi whole 2"}));
  EXPECT_EQ(c.counters.fragments.get(), 3U);
  EXPECT_EQ(c.counters.messages.get(), 2U);
  EXPECT_EQ(c.ring().leased(), 0U);
}

TEST(pump_inline, reports_an_incomplete_message_when_its_sender_leaves) {
  pump_case c;
  c.log_views();
  c.calls.on_aborted = [&c](handle&, const aborted_message& a) {
    c.log.push_back("aborted at " + std::to_string(a.bytes_received) + " of " +
                    std::to_string(a.bytes_announced));
  };
  c.join();
  c.service.send_event(view_event("g", 5));
  c.service.send_event(fragment_event("g", 5, 9, fragment_type::first, "abc"));
  c.service.send_event(view_event("g", 5, false));
  c.serve();
  EXPECT_EQ(c.log, (log_lines{"view of 1", "view of 0", "aborted at 3 of 9"}));
  EXPECT_EQ(c.counters.aborted.get(), 1U);
}

TEST(pump_inline, merges_adjacent_views_but_not_across_a_message) {
  handle_options o;
  o.coalesce_views = true;
  pump_case c(o);
  c.log_messages();
  c.log_views();
  c.join();
  for (const std::uint32_t pid : {5U, 6U, 7U}) {
    c.service.send_event(view_event("g", pid));
  }
  c.send("m0");
  c.service.send_event(view_event("g", 8));
  c.send("m1");
  c.drain();
  EXPECT_EQ(c.log, (log_lines{"view of 1 merged", "m0", "view of 1", "m1"}));
  EXPECT_EQ(c.ring().leased(), 0U);
}

TEST(pump_inline, loses_the_connection_when_another_process_removes_this_member) {
  pump_case c;
  c.log_messages();
  c.log_views();
  c.join();
  c.service.send_event(view_event("g", pump_case::own_pid, false));
  c.send("behind");
  c.serve();
  EXPECT_EQ(c.log, log_lines{"view of 0"});
  ASSERT_EQ(c.listener.losses.size(), 1U);
  EXPECT_EQ(c.listener.losses[0].code, errc::not_joined);
}

// --- ends --------------------------------------------------------------------------------------------------

TEST(pump_inline, delivers_messages_ahead_of_a_ring_fault_then_loses_the_connection) {
  pump_case c;
  c.log_messages();
  c.join();
  c.send("m0");
  c.send("m1");
  ASSERT_EQ(c.ring().collect(), 2U);
  c.service.break_ring(in_process_service::ring::event);
  c.serve();
  EXPECT_EQ(c.log, numbered("m", 2));
  ASSERT_EQ(c.listener.losses.size(), 1U);
  EXPECT_EQ(c.listener.losses[0].code, errc::malformed);
}

TEST(pump_inline, loses_the_connection_at_a_malformed_event_and_delivers_nothing_after_it) {
  pump_case c;
  c.log_messages();
  c.join();
  c.send("m0");
  c.service.send_event(std::vector<std::byte>(40));
  c.send("behind");
  c.serve();
  EXPECT_EQ(c.log, numbered("m", 1));
  EXPECT_EQ(c.listener.losses.size(), 1U);
}

TEST(pump_inline, delivers_events_sent_before_a_hang_up_then_loses_the_connection) {
  pump_case c;
  c.log_messages();
  c.join();
  c.send("m0");
  c.send("m1");
  c.made->hung_up();
  auto done = c.serve({1, 65536, 0});
  EXPECT_EQ(c.listener.losses.size(), 0U);
  EXPECT_TRUE(done.more);
  done = c.serve({1, 65536, 0});
  EXPECT_EQ(c.log, numbered("m", 2));
  ASSERT_EQ(c.listener.losses.size(), 1U);
  EXPECT_EQ(c.listener.losses[0].code, errc::service_lost);
  EXPECT_FALSE(done.more);
}

TEST(pump_inline, ends_the_handle_after_a_throwing_message_callback) {
  pump_case c;
  c.calls.on_message = [&c](handle&, const message& m) {
    c.log.emplace_back(m.text());
    if (m.text() == "m1") {
      throw std::runtime_error("no more");
    }
  };
  c.join();
  for (const char* text : {"m0", "m1", "m2"}) {
    c.send(text);
  }
  const auto done = c.serve();
  EXPECT_EQ(c.log, numbered("m", 2));
  ASSERT_EQ(c.listener.ends.size(), 1U);
  EXPECT_EQ(c.listener.ends[0].code, errc::callback_threw);
  EXPECT_FALSE(done.more);
}

TEST(pump_inline, ends_the_handle_after_a_throwing_view_callback) {
  pump_case c;
  c.log_messages();
  c.join();
  c.calls.on_view = [](handle&, const view&) { throw 1; };
  c.service.send_event(view_event("g", 9));
  c.send("behind");
  c.serve();
  EXPECT_EQ(c.log, log_lines{});
  ASSERT_EQ(c.listener.ends.size(), 1U);
}

TEST(pump_inline, runs_no_callback_after_one_closes_the_handle) {
  pump_case c;
  c.calls.on_message = [&c](handle&, const message& m) {
    c.log.emplace_back(m.text());
    c.made->stop(false);
  };
  c.join();
  c.send("m0");
  c.send("m1");
  const auto done = c.serve();
  EXPECT_EQ(c.log, numbered("m", 1));
  EXPECT_FALSE(done.more);
}

TEST(pump_inline, runs_no_callback_after_one_stops_the_engine) {
  pump_case c;
  c.calls.on_message = [&c](handle&, const message& m) {
    c.log.emplace_back(m.text());
    c.shared.stop_requested = true;
  };
  c.join();
  c.send("m0");
  c.send("m1");
  c.serve();
  c.serve();
  EXPECT_EQ(c.log, numbered("m", 1));
}

TEST(pump_inline, discards_all_events_after_the_end) {
  pump_case c;
  c.log_messages();
  c.join();
  for (int i = 0; i < 70; ++i) {
    c.send("m");
  }
  c.made->stop(false);
  EXPECT_TRUE(c.made->discard_events());
  EXPECT_EQ(c.log, log_lines{});
  EXPECT_EQ(c.ring().used_bytes(), 0U);
  c.service.break_ring(in_process_service::ring::event);
  EXPECT_FALSE(c.made->discard_events());
}

// --- overload ----------------------------------------------------------------------------------------------

TEST(pump_inline, warns_once_when_the_ring_stays_half_full) {
  pump_case c;
  c.calls.on_message = [&c](handle&, const message&) { c.log.emplace_back("m"); };
  c.calls.on_overload = [&c](handle&, const overload_warning& w) {
    c.log.push_back("overload");
    EXPECT_GE(w.ring_used, w.ring_size / 2);
  };
  c.join();
  const auto fill = [&c] {
    while (c.ring().used_bytes() < c.ring().capacity_bytes() / 4 * 3) {
      c.send(std::string(1000, 'x'));
    }
  };
  const reactor::turn_budget one{1, 65536, 0};
  for (int i = 0; i < 4; ++i) {
    fill();
    c.serve(one);
    c.advance(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(std::count(c.log.begin(), c.log.end(), "overload"), 1);
  fill();
  c.serve(one);
  EXPECT_EQ(std::count(c.log.begin(), c.log.end(), "overload"), 1) << "the same overload continues";
  c.drain();
  c.serve();
  for (int i = 0; i < 4; ++i) {
    fill();
    c.serve(one);
    c.advance(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(std::count(c.log.begin(), c.log.end(), "overload"), 2) << "the next overload";
}

}  // namespace
