// Multicasts through one connection: immediate, queued, fragmented, confirmed; and the connection's end.
#include "cpg/multicaster.hpp"

#include <map>
#include <optional>
#include <string>

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
using ::testing::SizeIs;

using open_confirmations = multicaster::open_confirmations;

/// One connection of a handle. The queue outlives it and may pass to the next connection.
struct one_connection {
  one_connection(send_queue& of, std::uint32_t ring_bytes)
      : service(ring_bytes),
        self(own_pid, std::chrono::seconds(1), line, notices),
        sender(std::chrono::milliseconds(100), of, line, self, notices) {
    line.attach(service.connect_owned());
    line.set_now(at_ms(0));
  }
  void become_joined() {
    self.begin();
    exchange();
    answer_local_node(service, own_node);
    ASSERT_TRUE(line.take_answers());
    ASSERT_TRUE(self.join("g", {}));
    exchange();
    answer(service, wire::response::join);
    ASSERT_TRUE(line.take_answers());
    auto bytes = cpgring::test::view_event("g", own_pid, true);
    event decoded;
    decode(bytes.data(), static_cast<std::uint32_t>(bytes.size()), decoded);
    self.enter(self.apply(decoded.membership).own);
    sender.begin_draining();
    notices.clear();
  }
  /// Writes what may be written; returns the requests that the service receives.
  std::vector<std::string> exchange() {
    EXPECT_TRUE(line.write(sender));
    service.take_doorbells();
    return describe_all(service);
  }
  void take_answers() { ASSERT_TRUE(line.take_answers()); }
  std::vector<std::string> texts() { return describe_all(notices); }

  in_process_service service;
  request_line line;
  std::deque<notice> notices;
  membership self;
  multicaster sender;
};

struct multicasters : ::testing::Test {
  static constexpr std::uint32_t ring_bytes = in_process_service::default_ring_bytes;
  static constexpr std::size_t atomic_max = 3000;

  void SetUp() override {
    start();
    here->become_joined();
  }
  void start() { here = std::make_unique<one_connection>(queue, ring_bytes); }
  result<void> multicast(const std::string& text) {
    const std::span<const std::byte> one[] = {bytes_of(text)};
    return here->sender.multicast(one, text.size());
  }
  /// A multicast that another thread made and the intake queue delivered.
  void crossed(const std::string& text) {
    ASSERT_TRUE(queue.admit(text.size(), text.size(), false));
    ASSERT_TRUE(here->sender.multicast_or_queue(bytes_of(text)));
  }
  void confirmed(const std::string& text, base::time_point deadline = never) {
    ASSERT_TRUE(queue.admit(text.size() + overhead, text.size(), false));
    const std::span<const std::byte> one[] = {bytes_of(text)};
    ASSERT_TRUE(here->sender.multicast_confirmed(one, text.size(), deadline, note(text)));
  }
  confirmation note(const std::string& text) {
    return [this, name = text.substr(0, 5)](const multicast_outcome& o) {
      outcomes.push_back(name + ' ' + std::string(to_string(o.fate)) +
                         (o.sequence != 0 ? ' ' + std::to_string(o.sequence) : ""));
      causes.push_back(o.cause ? o.cause->message() : "");
    };
  }
  /// Delivers the handle's own oldest message back to it.
  void back(std::size_t bytes, std::uint64_t sequence) {
    const auto one = here->sender.own_delivered(bytes);
    ASSERT_TRUE(one);
    if (*one != nullptr) {
      send_queue::confirm(**one, sequence);
      here->sender.report(**one);
    }
  }
  void hold_back(bool yes) { here->service.set_flow_control(yes ? 2 : 0); }
  void fragment_answered(std::int32_t status = wire::status::ok) {
    answer(here->service, wire::response::partial_multicast, status);
    here->take_answers();
  }
  std::vector<std::string> exchange() { return here->exchange(); }
  static std::string fragment(const char* type, char of, std::size_t bytes) {
    return std::string("fragment ") + type + ' ' + std::string(bytes, of);
  }

  multicast_pool pool;
  send_queue queue{{100000, 50000, 20000, atomic_max}, pool};
  std::unique_ptr<one_connection> here;
  std::vector<std::string> outcomes, causes;
};

// --- immediate, refused and queued multicasts

TEST_F(multicasters, write_at_once_without_a_queue_entry) {
  here->line.cork();
  ASSERT_TRUE(multicast("a"));
  ASSERT_TRUE(multicast("b"));
  crossed("c");
  EXPECT_EQ(here->service.requests_waiting(), 0U) << "corked";
  ASSERT_TRUE(here->line.uncork());
  EXPECT_THAT(describe_all(here->service), ElementsAre("multicast a", "multicast b", "multicast c"));
  EXPECT_FALSE(queue.has_unwritten());
  EXPECT_EQ(pool.entries_kept(), 0U) << "no entry was made";
  EXPECT_EQ(queue.counted(), 0U);
  EXPECT_EQ(here->sender.counts().multicasts, 3U);
  EXPECT_EQ(here->sender.counts().bytes, 3U);
}

TEST_F(multicasters, join_pieces_into_one_message) {
  const std::span<const std::byte> pieces[] = {bytes_of("ab"), {}, bytes_of("cde")};
  ASSERT_TRUE(here->sender.multicast(pieces, 5));
  ASSERT_TRUE(here->sender.multicast({}, 0));
  EXPECT_THAT(describe_all(here->service), ElementsAre("multicast abcde", "multicast "));
}

TEST_F(multicasters, refuse_when_held_back_and_notify_once_writable) {
  hold_back(true);
  EXPECT_EQ(multicast("a").error(), errc::try_again);
  EXPECT_EQ(here->sender.counts().refused, 1U);
  EXPECT_TRUE(here->sender.busy());
  here->sender.notify_writable();
  EXPECT_THAT(here->texts(), IsEmpty());
  hold_back(false);
  here->sender.notify_writable();
  here->sender.notify_writable();
  EXPECT_THAT(here->texts(), ElementsAre("writable"));
  EXPECT_FALSE(here->sender.busy());
}

TEST_F(multicasters, refuse_to_overtake_queued_multicasts) {
  hold_back(true);
  crossed("1");
  hold_back(false);
  EXPECT_EQ(multicast("2").error(), errc::try_again) << "2 would overtake 1";
  EXPECT_THAT(exchange(), ElementsAre("multicast 1"));
  ASSERT_TRUE(multicast("2"));
}

TEST_F(multicasters, refuse_to_overtake_a_waiting_control_request) {
  hold_back(true);
  here->line.ask(encode_leave("c", 1), never, {});
  hold_back(false);
  EXPECT_EQ(multicast("2").error(), errc::try_again);
  crossed("3");
  EXPECT_THAT(exchange(), ElementsAre("leave c", "multicast 3"));
}

TEST_F(multicasters, queue_in_the_order_of_the_calls) {
  hold_back(true);
  crossed("1");
  confirmed("2");
  here->line.ask(encode_leave("3", 1), never, {});
  crossed("4");
  EXPECT_EQ(queue.counted(), 3 + overhead);
  hold_back(false);
  EXPECT_THAT(exchange(), ElementsAre("multicast 1", "multicast 2", "leave 3", "multicast 4"));
  EXPECT_EQ(queue.counted(), 1 + overhead) << "the confirmed one counts until it is delivered back";
}

TEST_F(multicasters, refuse_in_all_states_but_joined) {
  start();
  EXPECT_EQ(multicast("a").error(), errc::not_joined);
  ASSERT_TRUE(queue.admit(1, 1, false));
  EXPECT_EQ(here->sender.multicast_or_queue(bytes_of("a")).error(), errc::not_joined);
  EXPECT_EQ(queue.counted(), 0U) << "a refused multicast is not counted";
  EXPECT_EQ(here->sender.reserve(1).error(), errc::not_joined);
  bool held = true;
  confirmation done = [&](const multicast_outcome&) { held = false; };
  EXPECT_EQ(here->sender.multicast_confirmed({}, 0, never, std::move(done)).error(), errc::not_joined);
  EXPECT_TRUE(done != nullptr) << "the caller keeps the confirmation";
  here->self.end(handle_state::lost, std::nullopt);
  EXPECT_EQ(multicast("a").error(), errc::bad_handle);
  here->sender.detach();
}

TEST_F(multicasters, refuse_messages_above_their_limits) {
  EXPECT_EQ(multicast(std::string(20001, 'x')).error(), errc::too_big);
  const auto room = here->sender.reserve(atomic_max + 1);
  ASSERT_FALSE(room);
  EXPECT_EQ(room.error(), errc::too_big);
}

// --- reservations

TEST_F(multicasters, send_a_reservation_in_place) {
  auto room = here->sender.reserve(10);
  ASSERT_TRUE(room);
  EXPECT_EQ(room->size(), 10U);
  EXPECT_EQ(multicast("x").error(), errc::busy);
  EXPECT_EQ(here->sender.reserve(1).error(), errc::busy);
  crossed("queued");
  confirmed("confirmed");
  std::memcpy(room->data(), "abc", 3);
  EXPECT_EQ(here->sender.commit(11).error(), errc::too_big);
  ASSERT_TRUE(here->sender.commit(3));
  EXPECT_EQ(here->sender.commit(3).error(), errc::bad_handle);
  EXPECT_THAT(exchange(), ElementsAre("multicast abc", "multicast queued", "multicast confirmed"));
  back(3, 1);
  back(6, 2);
  back(9, 3);
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("confi confirmed 3")) << "a reservation counts among the own messages";
}

TEST_F(multicasters, abandon_a_reservation) {
  ASSERT_TRUE(here->sender.reserve(10));
  here->sender.abandon();
  EXPECT_EQ(here->sender.commit(1).error(), errc::bad_handle);
  ASSERT_TRUE(multicast("x"));
  EXPECT_THAT(exchange(), ElementsAre("multicast x"));
}

// --- confirmations

TEST_F(multicasters, match_own_messages_to_confirmations_by_order) {
  ASSERT_TRUE(multicast("plain"));
  confirmed("1");
  crossed("plain");
  hold_back(true);
  confirmed("22");
  hold_back(false);
  EXPECT_THAT(exchange(), SizeIs(4));
  back(5, 11);
  back(1, 12);
  back(5, 13);
  EXPECT_THAT(here->texts(), ElementsAre("done"));
  EXPECT_THAT(outcomes, ElementsAre("1 confirmed 12"));
  back(2, 14);
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("1 confirmed 12", "22 confirmed 14"));
  EXPECT_EQ(queue.counted(), 0U);
}

TEST_F(multicasters, refuse_an_own_message_of_the_wrong_length) {
  confirmed("123");
  const auto one = here->sender.own_delivered(4);
  ASSERT_FALSE(one);
  EXPECT_EQ(one.error(), errc::malformed);
  EXPECT_THAT(one.error().message(), HasSubstr("an own message of 3 bytes came back with 4"));
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("123 unknown"));
}

TEST_F(multicasters, report_unknown_or_not_sent_at_a_deadline) {
  confirmed("sent", at_ms(10));
  hold_back(true);
  confirmed("queued", at_ms(10));
  confirmed("later", at_ms(20));
  EXPECT_EQ(here->sender.next_deadline(), at_ms(10));
  here->sender.expire(at_ms(9));
  EXPECT_THAT(here->texts(), IsEmpty());
  here->sender.expire(at_ms(10));
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("sent unknown", "queue not sent"));
  EXPECT_THAT(causes, ElementsAre(HasSubstr("it may still be ordered"), HasSubstr("did not take it before")));
  hold_back(false);
  EXPECT_THAT(exchange(), ElementsAre("multicast sent", "multicast later"))
      << "a multicast reported as not sent is never sent";
  back(4, 1);
  back(5, 2);
  here->texts();
  EXPECT_EQ(outcomes.back(), "later confirmed 2");
  EXPECT_THAT(outcomes, SizeIs(3));
}

// --- fragments

TEST_F(multicasters, send_all_fragments_before_the_next_message) {
  ASSERT_TRUE(multicast(std::string(7000, 'x')));
  crossed("behind");
  EXPECT_THAT(exchange(), ElementsAre(fragment("first", 'x', 3000)));
  EXPECT_FALSE(here->sender.blocked_by_flow_control()) << "an answer, not writability, lets it continue";
  fragment_answered();
  EXPECT_THAT(exchange(), ElementsAre(fragment("middle", 'x', 3000)));
  fragment_answered();
  EXPECT_THAT(exchange(), ElementsAre(fragment("last", 'x', 1000)));
  EXPECT_THAT(exchange(), IsEmpty());
  EXPECT_EQ(here->sender.counts().multicasts, 0U);
  fragment_answered();
  EXPECT_THAT(exchange(), ElementsAre("multicast behind"));
  EXPECT_EQ(here->sender.counts().multicasts, 2U);
  EXPECT_EQ(here->sender.counts().bytes, 7006U);
}

TEST_F(multicasters, put_the_total_length_into_each_fragment) {
  ASSERT_TRUE(multicast(std::string(4000, 'x')));
  const auto first = here->service.take_request();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->u32(wire::partial_multicast_request::total), 4000U);
  EXPECT_EQ(first->u32(wire::partial_multicast_request::length), 3000U);
}

TEST_F(multicasters, repeat_a_fragment_answered_try_again) {
  ASSERT_TRUE(multicast(std::string(4000, 'x')));
  exchange();
  fragment_answered(wire::status::try_again);
  EXPECT_THAT(exchange(), IsEmpty());
  const auto retry = here->sender.next_deadline();
  ASSERT_EQ(retry, at_ms(0) + membership::retry_pause);
  here->sender.expire(*retry);
  EXPECT_THAT(exchange(), ElementsAre(fragment("first", 'x', 3000)));
  fragment_answered();
  exchange();
  fragment_answered(wire::status::try_again);
  here->sender.expire(at_ms(50));
  EXPECT_THAT(exchange(), ElementsAre(fragment("last", 'x', 1000)));
}

TEST_F(multicasters, restart_an_interrupted_message) {
  confirmed(std::string(4000, 'x'));
  exchange();
  fragment_answered();
  exchange();
  fragment_answered(wire::status::interrupt);
  here->sender.expire(at_ms(5));
  EXPECT_THAT(exchange(), ElementsAre(fragment("first", 'x', 3000)));
  fragment_answered();
  exchange();
  fragment_answered();
  back(4000, 1);
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("xxxxx confirmed 1")) << "restarts do not change its number";
}

TEST_F(multicasters, abort_a_refused_large_message) {
  confirmed(std::string(4000, 'x'));
  confirmed("next");
  exchange();
  fragment_answered(wire::status::not_exist);
  EXPECT_THAT(here->texts(), ElementsAre("aborted 3000 of 4000", "done"));
  EXPECT_THAT(outcomes, ElementsAre("xxxxx not sent"));
  EXPECT_THAT(exchange(), ElementsAre("multicast next"));
  back(4, 1);
  here->texts();
  EXPECT_EQ(outcomes.back(), "next confirmed 1") << "the aborted message uses no number";
  EXPECT_EQ(queue.counted(), 0U);
}

TEST_F(multicasters, abort_a_fragment_retried_past_its_deadline) {
  ASSERT_TRUE(multicast(std::string(4000, 'x')));
  exchange();
  here->line.set_now(at_ms(99));
  fragment_answered(wire::status::try_again);
  here->sender.expire(at_ms(104));
  here->line.set_now(at_ms(104));
  exchange();
  fragment_answered(wire::status::try_again);
  EXPECT_THAT(here->texts(), ElementsAre("aborted 3000 of 4000"));
  EXPECT_FALSE(queue.has_unwritten());
}

TEST_F(multicasters, confirm_a_large_message_delivered_before_its_last_answer) {
  confirmed(std::string(4000, 'x'));
  exchange();
  fragment_answered();
  exchange();
  back(4000, 8);
  here->texts();
  queue.sweep();
  EXPECT_THAT(outcomes, ElementsAre("xxxxx confirmed 8"));
  fragment_answered();
  queue.sweep();
  EXPECT_EQ(queue.counted(), 0U);
  EXPECT_FALSE(queue.has_unwritten());
}

// --- a handle that has not joined yet

TEST_F(multicasters, write_kept_multicasts_only_after_draining_begins) {
  start();
  const std::span<const std::byte> one[] = {bytes_of("kept")};
  ASSERT_TRUE(queue.keep(one, 4));
  here->line.ask(encode_leave("asked while it waits", 1), never, {});
  EXPECT_THAT(exchange(), ElementsAre("leave asked while it waits")) << "only multicasts wait for the join";
  EXPECT_FALSE(here->sender.busy());
  here->sender.begin_draining();
  here->line.ask(encode_leave("behind", 1), never, {});
  EXPECT_THAT(exchange(), ElementsAre("multicast kept", "leave behind"));
  answer(here->service, wire::response::leave);
}

TEST_F(multicasters, report_not_sent_at_a_deadline_before_draining) {
  start();
  ASSERT_TRUE(queue.admit(overhead, 0, true));
  queue.push_confirmed({}, 0, at_ms(10), note("kept"));
  here->sender.expire(at_ms(10));
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("kept not sent"));
  EXPECT_THAT(causes, ElementsAre(HasSubstr("had not joined before the deadline")));
}

// --- the end of a connection

TEST_F(multicasters, report_unknown_or_not_sent_when_the_connection_is_lost) {
  confirmed("written");
  hold_back(true);
  confirmed("queued");
  crossed("plain");
  here->sender.lose(error(errc::service_lost), false);
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("writt unknown", "queue not sent"));
  EXPECT_EQ(queue.counted(), 0U);
  EXPECT_FALSE(queue.has_unwritten());
}

TEST_F(multicasters, keep_unwritten_multicasts_for_the_next_connection) {
  confirmed("written");
  hold_back(true);
  confirmed("queued");
  crossed("plain");
  here->sender.lose(error(errc::service_lost), true);
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("writt unknown"));
  EXPECT_EQ(queue.counted(), 6 + 5 + overhead);
  const auto before = std::move(here);
  before->sender.detach();
  start();
  EXPECT_THAT(exchange(), IsEmpty());
  here->become_joined();
  EXPECT_THAT(exchange(), ElementsAre("multicast queued", "multicast plain"));
  back(6, 1);
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("writt unknown", "queue confirmed 1")) << "each connection counts from 1";
}

TEST_F(multicasters, restart_a_large_message_on_the_next_connection) {
  for (const bool last_written : {false, true}) {
    outcomes.clear();
    confirmed(std::string(4000, 'x'));
    crossed("next");
    exchange();
    if (last_written) {
      fragment_answered();
      exchange();
    }
    here->line.fail_all(error(errc::service_lost));
    here->sender.lose(error(errc::service_lost), true);
    here->texts();
    const auto before = std::move(here);
    before->sender.detach();
    start();
    here->become_joined();
    if (last_written) {
      EXPECT_THAT(outcomes, ElementsAre("xxxxx unknown")) << "the service may have all fragments";
      EXPECT_THAT(exchange(), ElementsAre("multicast next"));
    } else {
      EXPECT_THAT(outcomes, IsEmpty());
      EXPECT_THAT(exchange(), ElementsAre(fragment("first", 'x', 3000)));
      fragment_answered();
      exchange();
      fragment_answered();
      EXPECT_THAT(exchange(), ElementsAre("multicast next"));
      back(4000, 1);
      back(4, 2);
      here->texts();
      EXPECT_THAT(outcomes, ElementsAre("xxxxx confirmed 1"));
    }
  }
}

TEST_F(multicasters, report_a_partly_written_large_message_as_not_sent) {
  confirmed(std::string(4000, 'x'));
  exchange();
  here->line.fail_all(error(errc::service_lost));
  here->sender.lose(error(errc::service_lost), false);
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("xxxxx not sent"));
  EXPECT_EQ(queue.counted(), 0U);
  EXPECT_FALSE(queue.has_unwritten());
}

TEST_F(multicasters, send_accepted_multicasts_after_a_close) {
  confirmed("written");
  hold_back(true);
  confirmed("queued");
  crossed("plain");
  here->sender.close(error(errc::closed), open_confirmations::decide);
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("writt unknown", "queue unknown"));
  here->line.ask(encode_finalize(), never, {});
  hold_back(false);
  EXPECT_THAT(exchange(),
              ElementsAre("multicast written", "multicast queued", "multicast plain", "finalize"));
  EXPECT_EQ(queue.counted(), 0U);
}

TEST_F(multicasters, finish_a_large_message_after_a_close) {
  confirmed(std::string(4000, 'x'));
  exchange();
  here->line.give_up(error(errc::closed));
  here->sender.close(error(errc::closed), open_confirmations::decide);
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("xxxxx unknown"));
  fragment_answered();
  EXPECT_THAT(exchange(), ElementsAre(fragment("last", 'x', 1000)));
  fragment_answered();
  queue.sweep();
  EXPECT_FALSE(queue.has_unwritten());
  EXPECT_EQ(queue.counted(), 0U);
  EXPECT_EQ(pool.entries_kept(), 1U);
}

TEST_F(multicasters, keep_confirmations_open_on_request_at_a_close) {
  confirmed("written");
  hold_back(true);
  confirmed("queued");
  here->sender.close(error(errc::closed), open_confirmations::leave);
  EXPECT_THAT(here->texts(), IsEmpty());
  hold_back(false);
  EXPECT_THAT(exchange(), SizeIs(2));
}

TEST_F(multicasters, drop_kept_multicasts_when_closed_before_draining) {
  start();
  ASSERT_TRUE(queue.admit(overhead, 0, true));
  queue.push_confirmed({}, 0, never, note("kept"));
  const std::span<const std::byte> one[] = {bytes_of("plain")};
  ASSERT_TRUE(queue.keep(one, 5));
  here->sender.close(error(errc::closed), open_confirmations::decide);
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("kept not sent"));
  EXPECT_FALSE(queue.has_unwritten());
  EXPECT_EQ(queue.counted(), 0U);
}

TEST_F(multicasters, decide_all_confirmations_when_the_handle_leaves) {
  confirmed("written");
  exchange();
  here->sender.leave(error(errc::not_joined));
  here->texts();
  EXPECT_THAT(outcomes, ElementsAre("writt unknown"));
  EXPECT_EQ(queue.counted(), 0U);
  back(7, 1);
  EXPECT_THAT(here->texts(), IsEmpty()) << "a stock service still delivers after the leave";
}

TEST_F(multicasters, do_not_touch_the_queue_after_detach) {
  here->sender.detach();
  ASSERT_TRUE(queue.admit(overhead, 0, true));
  queue.push_confirmed({}, 0, at_ms(10), note("kept"));
  EXPECT_EQ(here->sender.next_deadline(), std::nullopt);
  here->sender.expire(at_ms(10));
  here->sender.drop_waiting(error(errc::closed));
  here->sender.lose(error(errc::service_lost), false);
  here->sender.close(error(errc::closed), open_confirmations::decide);
  EXPECT_FALSE(here->sender.busy());
  EXPECT_THAT(here->texts(), IsEmpty());
  EXPECT_TRUE(queue.has_unwritten());
}

}  // namespace
