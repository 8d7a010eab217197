// A handle over several connections: loss, reconnect, multicasts kept until a join, reservations, counters.
#include <chrono>
#include <cstring>
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
using std::chrono::seconds;

/// Handles with automatic reconnect.
struct supervised_case : shard_case {
  supervised_case() {
    options.supervision.reconnect = true;
    options.supervision.backoff_min = milliseconds(20);
    options.supervision.backoff_max = milliseconds(1000);
  }
  /// Restarts the service and advances the clock past the next attempt.
  void service_returns() {
    listener.listen();
    pass(seconds(1));
  }
  void pass(base::nanoseconds span) {
    clock.advance(span);
    rounds(8);
  }
  honest_answers& last_answers() { return clients.back().answers; }
};

confirmation recorded(log_lines& log, std::string name) {
  return [&log, name = std::move(name)](const multicast_outcome& o) {
    log.push_back(name + ' ' + std::string(to_string(o.fate)) +
                  (o.cause ? ", " + o.cause->code.message() : ""));
  };
}
std::string because(errc why) { return ", " + make_error_code(why).message(); }

// --- loss and reconnect ------------------------------------------------------------------------------------

TEST(handle_core, reconnects_after_a_loss_and_rejoins_its_group) {
  supervised_case c;
  const auto h = c.open_joined();
  EXPECT_EQ(h->group(), "g");
  EXPECT_EQ(h->local_node(), in_process_listener::node);
  c.service_goes();
  c.rounds(2);
  EXPECT_EQ(c.log, log_lines{"lost"});
  EXPECT_TRUE(h->is_away());
  EXPECT_FALSE(h->over());
  c.service_returns();
  EXPECT_EQ(c.log, (log_lines{"lost", "ready", "restored in 1", "joining", "joined"}));
  EXPECT_EQ(c.last_answers().group, "g");
  EXPECT_EQ(h->state(), handle_state::joined);
  EXPECT_FALSE(h->is_away());
}

TEST(handle_core, waits_before_each_attempt_and_longer_each_time) {
  supervised_case c;
  const auto h = c.open_joined();
  c.service_goes();
  c.rounds(2);
  c.listener.listen();
  c.answers_handshakes = false;
  const auto before = c.clients.size();
  c.pass(milliseconds(9));
  EXPECT_EQ(c.clients.size(), before) << "less than half of the shortest backoff";
  c.pass(milliseconds(11));
  ASSERT_EQ(c.clients.size(), before + 1);
  c.clients.back().side->hang_up();
  c.rounds(2);
  c.pass(milliseconds(19));
  EXPECT_EQ(c.clients.size(), before + 1) << "less than half of the doubled backoff";
  c.pass(milliseconds(21));
  EXPECT_EQ(c.clients.size(), before + 2);
  EXPECT_EQ(c.log, log_lines{"lost"}) << "failed attempts are not reported";
}

TEST(handle_core, reports_the_attempts_of_an_outage) {
  supervised_case c;
  const auto h = c.open_joined();
  c.service_goes();
  c.rounds(2);
  c.pass(seconds(1));
  c.pass(seconds(1));
  c.service_returns();
  EXPECT_EQ(c.log, (log_lines{"lost", "ready", "restored in 3", "joining", "joined"}));
}

TEST(handle_core, waits_silently_for_a_service_not_started_yet) {
  supervised_case c;
  c.listener.stop_listening();
  auto with = c.options;
  with.group = "g";
  const auto h = c.the_shard().open(1, with, c.recorder()).value();
  c.rounds(2);
  EXPECT_EQ(h->state(), handle_state::connecting);
  EXPECT_EQ(c.log, log_lines{});
  c.service_returns();
  EXPECT_EQ(c.log, (log_lines{"ready", "joining", "joined"})) << "never connected before: no restoration";
}

TEST(handle_core, is_over_after_a_loss_without_reconnect) {
  shard_case c;
  auto h = c.open_joined();
  c.service_goes();
  c.rounds(3);
  EXPECT_EQ(c.log, log_lines{"lost"});
  EXPECT_TRUE(h->over());
  EXPECT_FALSE(h->is_away());
  EXPECT_EQ(c.the_shard().stats().handles, 0U);
  EXPECT_EQ(h->present(), nullptr) << "the link was freed";
}

TEST(handle_core, is_over_after_a_permanent_error_or_the_last_attempt) {
  supervised_case c;
  c.options.service = std::string(200, 'x');
  const auto wrong = c.open();
  c.rounds(2);
  EXPECT_TRUE(wrong->over());
  EXPECT_EQ(c.log, log_lines{"lost"});
  c.log.clear();
  c.options.service = c.listener.name();
  c.options.supervision.attempts_max = 2;
  c.listener.stop_listening();
  const auto tired = c.open();
  c.rounds(2);
  EXPECT_FALSE(tired->over());
  c.pass(seconds(1));
  EXPECT_FALSE(tired->over());
  c.pass(seconds(1));
  EXPECT_TRUE(tired->over());
  EXPECT_EQ(c.log, log_lines{"lost"});
}

TEST(handle_core, reconnects_only_after_the_callback_of_the_loss) {
  supervised_case c;
  const auto h = c.open_joined();
  c.service_goes();
  static_cast<void>(c.dispatch());  // detects the loss; its callback is still queued
  c.listener.listen();
  c.clock.advance(seconds(1));
  static_cast<void>(c.dispatch());  // the attempt is due, but the callback runs first
  EXPECT_EQ(c.log, log_lines{"lost"});
  EXPECT_EQ(c.listener.accept(), nullptr);
  c.pass(milliseconds(1));
  EXPECT_EQ(c.log, (log_lines{"lost", "ready", "restored in 1", "joining", "joined"}));
}

TEST(handle_core, refuses_requests_between_two_connections) {
  supervised_case c;
  const auto h = c.open_joined();
  c.service_goes();
  c.rounds(2);
  EXPECT_EQ(h->join("other", {}).error().code, errc::service_lost);
  EXPECT_EQ(h->leave({}).error().code, errc::service_lost);
  EXPECT_EQ(multicast(*h, "m").error().code, errc::service_lost);
  EXPECT_EQ(h->reserve(10).error().code, errc::service_lost);
  EXPECT_EQ(h->flush(base::time_point::max(), {}).error().code, errc::service_lost);
  h->request_close();
  EXPECT_EQ(multicast(*h, "m").error().code, errc::bad_handle);
}

// --- closing -----------------------------------------------------------------------------------------------

TEST(handle_core, a_close_frees_the_link_after_the_service_took_everything) {
  shard_case c;
  const auto h = c.open_joined();
  ASSERT_TRUE(multicast(*h, "last words"));
  h->request_close();
  EXPECT_EQ(h->state(), handle_state::closed);
  c.answers_requests = false;
  c.rounds(2);
  EXPECT_EQ(c.log, log_lines{"closed"});
  ASSERT_NE(h->present(), nullptr);
  EXPECT_EQ(h->present()->at(), phase::lingering);
  EXPECT_TRUE(h->alive());
  c.answers_requests = true;
  c.rounds(3);
  EXPECT_EQ(c.clients[0].answers.multicasts, log_lines{"last words"});
  EXPECT_EQ(h->present(), nullptr);
  EXPECT_FALSE(h->alive());
  EXPECT_EQ(c.the_shard().stats().handles, 0U);
}

TEST(handle_core, a_close_between_two_connections_is_reported_and_ends_the_attempts) {
  supervised_case c;
  const auto h = c.open_joined();
  c.service_goes();
  c.rounds(2);
  const auto before = c.clients.size();
  h->request_close();
  EXPECT_EQ(h->state(), handle_state::closed);
  EXPECT_TRUE(h->over());
  c.service_returns();
  EXPECT_EQ(c.log, (log_lines{"lost", "closed"}));
  EXPECT_EQ(c.clients.size(), before);
  EXPECT_EQ(h->present(), nullptr);
  EXPECT_EQ(c.the_shard().stats().handles, 0U);
}

TEST(handle_core, a_close_during_a_reconnect_ends_it) {
  supervised_case c;
  const auto h = c.open_joined();
  c.service_goes();
  c.rounds(2);
  c.answers_handshakes = false;
  c.service_returns();
  ASSERT_EQ(h->present()->at(), phase::handshaking);
  h->request_close();
  c.rounds(3);
  EXPECT_EQ(c.log, (log_lines{"lost", "closed"}));
  EXPECT_EQ(h->present(), nullptr);
  EXPECT_TRUE(c.clients.back().side->client_gone());
}

TEST(handle_core, joins_another_group_after_a_leave_on_a_new_connection) {
  supervised_case c;
  const auto h = c.open_joined();
  ASSERT_TRUE(h->leave({}));
  c.rounds(4);
  EXPECT_EQ(h->state(), handle_state::left);
  c.log.clear();
  ASSERT_TRUE(h->join("other", [&c](const result<void>& r) { c.log.emplace_back(r ? "done" : "failed"); }));
  c.rounds(8);
  EXPECT_EQ(c.log, (log_lines{"ready", "joining", "joined", "done"}));
  EXPECT_EQ(h->group(), "other");
  EXPECT_EQ(c.clients.size(), 2U);
  EXPECT_TRUE(c.clients[0].side->client_gone());
  EXPECT_EQ(c.clients[0].answers.requests.back(), wire::request::finalize);
}

TEST(handle_core, cannot_join_again_after_a_leave_without_reconnect) {
  shard_case c;
  const auto h = c.open_joined();
  ASSERT_TRUE(h->leave({}));
  c.rounds(4);
  EXPECT_EQ(h->join("other", {}).error().code, errc::spent);
}

// --- multicasts kept until the join ------------------------------------------------------------------------

TEST(handle_core, keeps_multicasts_until_it_has_joined_and_sends_them_in_order) {
  shard_case c;
  c.options.supervision.queue_bytes = 1000;
  c.options.group = "g";
  const auto h = c.open();
  c.rounds(1);
  ASSERT_TRUE(multicast(*h, "a"));
  ASSERT_TRUE(multicast_confirmed(*h, "b", base::time_point::max(), recorded(c.log, "b")));
  ASSERT_TRUE(multicast(*h, "c"));
  EXPECT_EQ(h->flush(base::time_point::max(), {}).error().code, errc::not_joined);
  c.rounds(8);
  EXPECT_EQ(c.clients[0].answers.multicasts, (log_lines{"a", "b", "c"}));
  ASSERT_TRUE(multicast(*h, "d"));
  c.rounds(2);
  EXPECT_EQ(c.clients[0].answers.multicasts.back(), "d");
}

TEST(handle_core, keeps_at_most_queue_bytes) {
  shard_case c;
  c.options.supervision.queue_bytes = 10;
  c.options.group = "g";
  const auto h = c.open();
  c.rounds(1);
  ASSERT_TRUE(multicast(*h, "12345678"));
  EXPECT_EQ(multicast(*h, "901").error().code, errc::try_again);
  ASSERT_TRUE(multicast(*h, "90"));
  c.rounds(8);
  EXPECT_EQ(c.clients[0].answers.multicasts, (log_lines{"12345678", "90"}));
}

TEST(handle_core, sends_multicasts_of_an_outage_after_the_rejoin) {
  supervised_case c;
  c.options.supervision.queue_bytes = 100;
  const auto h = c.open_joined();
  c.service_goes();
  c.rounds(2);
  ASSERT_TRUE(multicast(*h, "a"));
  ASSERT_TRUE(multicast(*h, "b"));
  c.service_returns();
  EXPECT_EQ(c.last_answers().multicasts, (log_lines{"a", "b"}));
  EXPECT_EQ(c.last_answers().requests, (std::vector{wire::request::local_get, wire::request::join,
                                                    wire::request::multicast, wire::request::multicast}));
}

TEST(handle_core, drops_a_kept_multicast_at_its_deadline) {
  supervised_case c;
  c.options.supervision.queue_bytes = 1000;
  const auto h = c.open_joined();
  c.service_goes();
  c.rounds(2);
  c.log.clear();
  ASSERT_TRUE(multicast_confirmed(*h, "a", c.clock.read() + milliseconds(500), recorded(c.log, "a")));
  ASSERT_TRUE(multicast_confirmed(*h, "b", c.clock.read() + milliseconds(5000), recorded(c.log, "b")));
  c.pass(milliseconds(499));
  EXPECT_EQ(c.log, log_lines{});
  c.pass(milliseconds(1));
  EXPECT_EQ(c.log, log_lines{"a not sent" + because(errc::timeout)});
  c.service_returns();
  EXPECT_EQ(c.last_answers().multicasts, log_lines{"b"});
}

TEST(handle_core, keeps_multicasts_for_a_later_join_until_their_deadline) {
  shard_case c;
  c.options.supervision.queue_bytes = 1000;
  const auto h = c.open();
  c.rounds(4);
  ASSERT_EQ(h->state(), handle_state::ready);
  c.log.clear();
  ASSERT_TRUE(multicast_confirmed(*h, "late", c.clock.read() + milliseconds(20), recorded(c.log, "late")));
  ASSERT_TRUE(multicast(*h, "a"));
  c.clock.advance(milliseconds(20));
  c.rounds(2);
  EXPECT_EQ(c.log, log_lines{"late not sent" + because(errc::timeout)});
  ASSERT_TRUE(h->join("g", {}));
  ASSERT_TRUE(multicast(*h, "b"));
  c.rounds(6);
  EXPECT_EQ(c.clients[0].answers.multicasts, (log_lines{"a", "b"}));
}

TEST(handle_core, reports_dropped_multicasts_before_the_state_closed) {
  supervised_case c;
  c.options.supervision.queue_bytes = 1000;
  const auto h = c.open_joined();
  c.service_goes();
  c.rounds(2);
  c.log.clear();
  ASSERT_TRUE(multicast_confirmed(*h, "a", base::time_point::max(), recorded(c.log, "a")));
  h->request_close();
  c.rounds(2);
  EXPECT_EQ(c.log, (log_lines{"a not sent" + because(errc::closed), "closed"}));
}

TEST(handle_core, reports_multicasts_on_a_lost_connection_as_unknown) {
  supervised_case c;
  c.options.supervision.queue_bytes = 1000;
  const auto h = c.open_joined();
  ASSERT_TRUE(multicast_confirmed(*h, "a", base::time_point::max(), recorded(c.log, "a")));
  c.rounds(1);
  c.service_goes();
  c.rounds(2);
  EXPECT_EQ(c.log, (log_lines{"a unknown" + because(errc::service_lost), "lost"}));
  c.service_returns();
  EXPECT_EQ(c.last_answers().multicasts, log_lines{}) << "not sent again, because it may have been ordered";
}

TEST(handle_core, frees_the_room_of_kept_multicasts_after_delivery) {
  supervised_case c;
  c.options.send_queue_bytes = 1000;
  c.options.supervision.queue_bytes = 1000;
  c.delivers = true;
  const auto h = c.open_joined();
  c.service_goes();
  c.rounds(2);
  const std::string payload(700, 'x');
  ASSERT_TRUE(multicast_confirmed(*h, payload, base::time_point::max(), recorded(c.log, "a")));
  EXPECT_EQ(multicast_confirmed(*h, payload, base::time_point::max(), {}).error().code, errc::try_again);
  c.service_returns();
  c.rounds(3);
  EXPECT_EQ(std::count(c.log.begin(), c.log.end(), "a confirmed"), 1);
  EXPECT_TRUE(multicast_confirmed(*h, payload, base::time_point::max(), recorded(c.log, "b")));
  c.rounds(3);
}

// --- limits ------------------------------------------------------------------------------------------------

TEST(handle_core, admits_one_message_of_any_size_and_reports_writable_later) {
  shard_case c;
  c.options.send_queue_bytes = 100;
  const auto h = c.open_joined();
  const payload_of large(
      std::string_view("0123456789012345678901234567890123456789012345678901234567890123"));
  c.clients[0].side->set_flow_control(1);
  ASSERT_TRUE(c.the_shard().submit_multicast(*h, large.pieces(), large.size()));
  EXPECT_EQ(c.the_shard().submit_multicast(*h, large.pieces(), large.size()).error().code, errc::try_again);
  c.rounds(2);
  EXPECT_EQ(c.log, log_lines{});
  c.clients[0].side->set_flow_control(0);
  c.clock.advance(milliseconds(1));
  c.rounds(3);
  EXPECT_EQ(c.log, log_lines{"writable"});
  EXPECT_TRUE(c.the_shard().submit_multicast(*h, large.pieces(), large.size()));
  const std::string most(std::size_t{65} << 20, 'x');
  EXPECT_EQ(h->admit(most.size(), most.size()).error().code, errc::too_big);
}

TEST(handle_core, warns_about_a_nul_byte_inside_a_group_name) {
  shard_case c;
  const auto h = c.open();
  c.rounds(4);
  c.lines.clear();
  ASSERT_TRUE(h->join(std::string_view("a\0b", 3), {}));
  EXPECT_EQ(c.lines.size(), 1U);
  const auto usual = c.open();
  c.rounds(4);
  c.lines.clear();
  ASSERT_TRUE(usual->join(std::string_view("a\0", 2), {}));
  EXPECT_EQ(c.lines.size(), 0U);
}

// --- reservations ------------------------------------------------------------------------------------------

TEST(handle_core, a_reservation_is_valid_only_on_its_connection) {
  supervised_case c;
  const auto h = c.open_joined();
  auto room = h->reserve(4);
  ASSERT_TRUE(room);
  std::memcpy(room->bytes.data(), "text", 4);
  ASSERT_TRUE(h->commit(room->number, 4));
  c.rounds(1);
  EXPECT_EQ(c.clients[0].answers.multicasts, log_lines{"text"});
  EXPECT_FALSE(h->commit(room->number, 4)) << "a commit works once";

  const auto outlived = h->reserve(4);
  ASSERT_TRUE(outlived);
  c.service_goes();
  c.rounds(2);
  EXPECT_EQ(h->commit(outlived->number, 4).error().code, errc::bad_handle);
  c.service_returns();
  EXPECT_EQ(h->state(), handle_state::joined);
  EXPECT_EQ(h->commit(outlived->number, 4).error().code, errc::bad_handle);
  h->abandon(outlived->number);
  const auto next = h->reserve(4);
  ASSERT_TRUE(next);
  EXPECT_FALSE(h->commit(outlived->number, 4)) << "the old number does not commit the new reservation";
  h->abandon(outlived->number);
  std::memcpy(next->bytes.data(), "next", 4);
  EXPECT_TRUE(h->commit(next->number, 4)) << "the old number did not abandon the new reservation";
  c.rounds(1);
  EXPECT_EQ(c.last_answers().multicasts, log_lines{"next"});
}

TEST(handle_core, an_abandoned_reservation_sends_nothing) {
  shard_case c;
  const auto h = c.open_joined();
  const auto room = h->reserve(4);
  ASSERT_TRUE(room);
  EXPECT_EQ(multicast(*h, "m").error().code, errc::busy);
  h->abandon(room->number);
  EXPECT_TRUE(multicast(*h, "m"));
  c.rounds(1);
  EXPECT_EQ(c.clients[0].answers.multicasts, log_lines{"m"});
}

// --- counters ----------------------------------------------------------------------------------------------

TEST(handle_core, sums_its_counters_over_all_connections) {
  supervised_case c;
  c.delivers = true;
  const auto h = c.open_joined();
  ASSERT_TRUE(multicast(*h, "abc"));
  ASSERT_TRUE(multicast(*h, "de"));
  c.rounds(2);
  const auto first = h->stats();
  EXPECT_EQ(first.multicasts, 2U);
  EXPECT_EQ(first.multicast_bytes, 5U);
  EXPECT_EQ(first.messages, 2U);
  EXPECT_NE(first.shm_bytes, 0U);
  c.service_goes();
  c.rounds(2);
  EXPECT_EQ(h->stats().shm_bytes, 0U) << "no rings are mapped between two connections";
  c.service_returns();
  ASSERT_TRUE(multicast(*h, "f"));
  c.rounds(2);
  const auto both = h->stats();
  EXPECT_EQ(both.multicasts, 3U);
  EXPECT_EQ(both.multicast_bytes, 6U);
  EXPECT_EQ(both.messages, 3U);
  EXPECT_EQ(both.message_bytes, 6U);
  EXPECT_GT(both.doorbells, first.doorbells);
  EXPECT_EQ(both.shm_bytes, first.shm_bytes);
}

}  // namespace
