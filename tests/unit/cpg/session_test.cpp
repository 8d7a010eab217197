// A whole session, from the end of the handshake to the last notice. The test plays the service.
#include "cpg/session.hpp"

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "support/counted_allocations.hpp"
#include "unit/cpg/session_parts.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::cpg;
using namespace cpgring::cpg::test;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string text_of_lost = error(errc::service_lost).code.message();

struct sessions : ::testing::Test {
  void SetUp() override { connect(); }
  void connect() {
    service = std::make_unique<in_process_service>();
    s = std::make_unique<session>(session_options{own_pid, 20000, std::chrono::milliseconds(100)}, queue);
    s->attach(service->connect_owned(), at_ms(0));
  }
  /// Makes progress; returns the requests that the service receives.
  std::vector<std::string> exchange(int ms = 0) {
    EXPECT_TRUE(s->progress(at_ms(ms)));
    service->take_doorbells();
    return describe_all(*service);
  }
  void event_came(std::vector<std::byte> bytes) {
    event decoded;
    std::vector<cpg::aborted> torn;
    switch (decode(bytes.data(), static_cast<std::uint32_t>(bytes.size()), s->group(), decoded)) {
      case event_kind::configuration: s->configuration_changed(decoded.membership, torn); break;
      case event_kind::fragment: s->piece(decoded.piece); break;
      default: FAIL();
    }
    for (auto& one : torn) {
      s->notices.push_back(std::move(one));
    }
  }
  void become_joined() {
    ASSERT_TRUE(s->join("g", {}, at_ms(0)));
    exchange();
    answer_local_node(*service, own_node);
    exchange();
    answer(*service, wire::response::join);
    exchange();
    event_came(cpgring::test::view_event("g", own_pid, true));
    ASSERT_EQ(s->state(), handle_state::joined);
    s->notices.clear();
  }
  result<void> multicast(const std::string& text) {
    const std::span<const std::byte> one[] = {bytes_of(text)};
    return s->multicasts().multicast(one, text.size());
  }
  void confirmed(const std::string& text, base::time_point deadline = never) {
    ASSERT_TRUE(queue.admit(text.size() + overhead, text.size(), false));
    const std::span<const std::byte> one[] = {bytes_of(text)};
    ASSERT_TRUE(s->multicasts().multicast_confirmed(
        one, text.size(), deadline, [this, text](const multicast_outcome& o) {
          outcomes.push_back(text + ' ' + std::string(to_string(o.fate)));
        }));
  }
  template <class T>
  completion<T> note(const std::string& name) {
    return [this, name](const result<T>& r) { outcomes.push_back(name + (r ? " done" : " failed")); };
  }
  std::vector<std::string> texts() { return describe_all(s->notices); }

  multicast_pool pool;
  send_queue queue{{100000, 50000, 20000, send_limits::atomic_max_of(in_process_service::default_ring_bytes)},
                   pool};
  std::unique_ptr<in_process_service> service;
  std::unique_ptr<session> s;
  std::vector<std::string> outcomes;
};

TEST_F(sessions, join_multicast_and_leave) {
  ASSERT_TRUE(s->join("g", note<void>("join"), at_ms(0)));
  EXPECT_TRUE(s->busy());
  EXPECT_THAT(exchange(), ElementsAre("local_get"));
  EXPECT_TRUE(s->expects_answers());
  answer_local_node(*service, own_node);
  EXPECT_THAT(exchange(), ElementsAre("join g"));
  answer(*service, wire::response::join);
  exchange();
  EXPECT_FALSE(s->expects_answers());
  event_came(cpgring::test::view_event("g", own_pid, true));
  EXPECT_TRUE(s->takes_messages());
  EXPECT_TRUE(s->is_own(own_node, own_pid));
  ASSERT_TRUE(multicast("m"));
  confirmed("c");
  ASSERT_TRUE(s->leave(note<void>("leave"), at_ms(1)));
  EXPECT_THAT(exchange(1), ElementsAre("multicast m", "multicast c", "leave g"));
  ASSERT_EQ(*s->own_delivered(1), nullptr);
  queued_multicast* const waits = *s->own_delivered(1);
  ASSERT_NE(waits, nullptr);
  session::confirm(*waits, 2);
  s->report(*waits);
  answer(*service, wire::response::leave);
  exchange(1);
  event_came(cpgring::test::view_event("g", own_pid, false));
  EXPECT_EQ(s->state(), handle_state::left);
  EXPECT_THAT(texts(), ElementsAre("ready", "joining", "joined", "done", "leaving", "done", "left", "done"));
  EXPECT_THAT(outcomes, ElementsAre("join done", "c confirmed", "leave done"));
  EXPECT_EQ(s->counts().multicasts, 2U);
}

TEST_F(sessions, report_open_confirmations_before_the_state_left) {
  become_joined();
  confirmed("c");
  ASSERT_TRUE(s->leave({}, at_ms(0)));
  exchange();
  event_came(cpgring::test::view_event("g", own_pid, false));
  EXPECT_THAT(texts(), ElementsAre("leaving", "done", "left"));
  EXPECT_THAT(outcomes, ElementsAre("c unknown"));
}

TEST_F(sessions, write_kept_multicasts_once_joined) {
  const std::span<const std::byte> one[] = {bytes_of("kept")};
  ASSERT_TRUE(queue.keep(one, 4));
  become_joined();
  EXPECT_TRUE(s->busy());
  ASSERT_TRUE(s->write_waiting());
  EXPECT_THAT(describe_all(*service), ElementsAre("multicast kept"));
}

TEST_F(sessions, keep_answers_apart_from_notices) {
  become_joined();
  ASSERT_TRUE(s->query_local_node(note<std::uint32_t>("node"), at_ms(0)));
  ASSERT_TRUE(s->query_members("g", note<std::vector<member_address>>("members"), at_ms(0)));
  ASSERT_TRUE(s->query_groups(note<std::vector<group_entry>>("groups"), at_ms(0)));
  ASSERT_TRUE(s->flush(note<void>("flush"), at_ms(50)));
  EXPECT_THAT(exchange(), ElementsAre("local_get", "begin g", "begin ", "local_get"));
  answer_local_node(*service, 1);
  answer_iteration(*service, 1);
  answer_iteration(*service, 2);
  answer_local_node(*service, 1);
  exchange();
  EXPECT_THAT(s->notices, IsEmpty());
  ASSERT_THAT(s->answers, SizeIs(2));
  s->answers_to_notices(1);
  texts();
  EXPECT_THAT(outcomes, ElementsAre("node done"));
  s->answers_to_notices(100);
  texts();
  EXPECT_THAT(outcomes, ElementsAre("node done", "flush done"));
}

TEST_F(sessions, write_a_flush_after_waiting_multicasts) {
  become_joined();
  service->set_flow_control(2);
  ASSERT_TRUE(queue.admit(1, 1, false));
  ASSERT_TRUE(s->multicasts().multicast_or_queue(bytes_of("m")));
  ASSERT_TRUE(s->flush({}, at_ms(50)));
  service->set_flow_control(0);
  EXPECT_THAT(exchange(), ElementsAre("multicast m", "local_get"));
}

TEST_F(sessions, allocate_nothing_while_flow_control_holds_multicasts_back) {
  become_joined();
  service->set_flow_control(2);
  confirmed("c");
  const std::span<const std::byte> one[] = {bytes_of("m")};
  const auto before = cpgring::test::allocations_so_far();
  for (int ms = 1; ms <= 100; ++ms) {
    EXPECT_TRUE(s->tick(at_ms(ms)));
    EXPECT_FALSE(s->multicasts().multicast(one, 1));
  }
  EXPECT_EQ(cpgring::test::allocations_so_far() - before, 0U);
}

TEST_F(sessions, ask_no_waiting_query_whose_deadline_is_over) {
  const auto ask = [&](const std::string& name) {
    ASSERT_TRUE(s->query_groups(
        [this, name](const result<std::vector<group_entry>>& r) {
          outcomes.push_back(name + ": " + (r ? "done" : r.error().message()));
        },
        at_ms(0)));
  };
  become_joined();
  service->set_flow_control(2);
  for (std::uint32_t i = 0; i < queries::iterations_max; ++i) {
    ask("not written");
  }
  ask("waiting");
  ASSERT_TRUE(s->tick(at_ms(100)));
  EXPECT_THAT(describe_all(*service), IsEmpty());
  s->answers_to_notices(s->answers.size());
  texts();
  EXPECT_THAT(outcomes, SizeIs(queries::iterations_max + 1));
  EXPECT_THAT(outcomes,
              Contains("waiting: too many earlier list queries were unanswered until the deadline"));
}

TEST_F(sessions, ignore_pokes_after_finalize) {
  become_joined();
  s->poke();
  EXPECT_THAT(exchange(), ElementsAre("local_get"));
  answer_local_node(*service, 1);
  exchange();
  s->close(std::nullopt);
  s->finalize(at_ms(100), [] {});
  s->poke();
  EXPECT_THAT(exchange(), ElementsAre("finalize"));
  EXPECT_EQ(s->counts().pokes, 1U);
}

TEST_F(sessions, report_the_earliest_deadline) {
  EXPECT_EQ(s->next_deadline(at_ms(0)), at_ms(1)) << "the first request waits to be written";
  become_joined();
  EXPECT_EQ(s->next_deadline(at_ms(0)), std::nullopt);
  ASSERT_TRUE(s->flush({}, at_ms(50)));
  exchange();
  EXPECT_EQ(s->next_deadline(at_ms(0)), at_ms(50));
  confirmed("c", at_ms(30));
  EXPECT_EQ(s->next_deadline(at_ms(0)), at_ms(30));
  service->set_flow_control(2);
  EXPECT_EQ(multicast("x").error(), errc::try_again);
  EXPECT_EQ(s->next_deadline(at_ms(0)), at_ms(1)) << "flow control is polled again in 1 ms";
  ASSERT_TRUE(s->tick(at_ms(30)));
  EXPECT_THAT(texts(), ElementsAre("done"));
  EXPECT_THAT(outcomes, ElementsAre("c unknown"));
  service->set_flow_control(0);
  ASSERT_TRUE(s->tick(at_ms(31)));
  EXPECT_THAT(texts(), ElementsAre("writable"));
}

TEST_F(sessions, say_after_everything_but_delivery_that_something_may_have_changed) {
  EXPECT_TRUE(s->take_changed()) << "attached";
  become_joined();
  EXPECT_TRUE(s->take_changed());
  EXPECT_FALSE(s->take_changed()) << "once";
  ASSERT_TRUE(multicast("m"));
  EXPECT_TRUE(s->take_changed());
  ASSERT_EQ(*s->own_delivered(1), nullptr);
  EXPECT_FALSE(s->take_changed()) << "an own message that nobody waits for";
  confirmed("c");
  EXPECT_TRUE(s->take_changed());
  queued_multicast* const waits = *s->own_delivered(1);
  session::confirm(*waits, 1);
  s->report(*waits);
  EXPECT_TRUE(s->take_changed());
  EXPECT_TRUE(s->write_waiting());
  EXPECT_TRUE(s->take_changed());
  s->expire_multicasts(at_ms(0));
  EXPECT_TRUE(s->take_changed());
  s->drop_multicasts(error(errc::closed));
  EXPECT_TRUE(s->take_changed());
  ASSERT_TRUE(s->query_members("g", {}, at_ms(0)));
  EXPECT_TRUE(s->take_changed());
  ASSERT_TRUE(s->query_groups({}, at_ms(0)));
  EXPECT_TRUE(s->take_changed());
  ASSERT_TRUE(s->query_local_node({}, at_ms(0)));
  EXPECT_TRUE(s->take_changed());
  ASSERT_TRUE(s->flush({}, at_ms(50)));
  EXPECT_TRUE(s->take_changed());
  s->poke();
  EXPECT_TRUE(s->take_changed());
  EXPECT_TRUE(s->progress(at_ms(0)));
  EXPECT_TRUE(s->take_changed());
  EXPECT_TRUE(s->tick(at_ms(0)));
  EXPECT_TRUE(s->take_changed());
  event_came(cpgring::test::view_event("g", own_pid + 1, true));
  EXPECT_TRUE(s->take_changed());
  ASSERT_TRUE(s->leave({}, at_ms(0)));
  EXPECT_TRUE(s->take_changed());
  s->finalize(at_ms(50), [] {});
  EXPECT_TRUE(s->take_changed());
  s->close({});
  EXPECT_TRUE(s->take_changed());
  connect();
  EXPECT_TRUE(s->take_changed());
  s->lose(error(errc::service_lost));
  EXPECT_TRUE(s->take_changed());
}

TEST_F(sessions, report_a_fragmented_message_whose_sender_left) {
  become_joined();
  event_came(cpgring::test::view_event("g", 77, true));
  event_came(cpgring::test::fragment_event("g", 77, 100, wire::fragment_type::first, "abc"));
  event_came(cpgring::test::view_event("g", 77, false));
  EXPECT_THAT(texts(), ElementsAre("aborted 3 of 100"));
}

TEST_F(sessions, report_lost_as_the_last_notice) {
  become_joined();
  confirmed("c");
  ASSERT_TRUE(s->query_local_node(note<std::uint32_t>("node"), at_ms(0)));
  exchange();
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(s->query_members("g", note<std::vector<member_address>>("members"), at_ms(0)));
  }
  ASSERT_TRUE(s->leave(note<void>("leave"), at_ms(0)));
  s->lose(error(errc::service_lost));
  s->lose(error(errc::service_lost));
  const auto all = texts();
  EXPECT_EQ(all.back(), "lost: " + text_of_lost);
  EXPECT_THAT(outcomes, SizeIs(13));
  EXPECT_EQ(outcomes.front(), "c unknown");
  EXPECT_EQ(std::count(outcomes.begin(), outcomes.end(), "members failed"), 10);
  EXPECT_THAT(outcomes, Contains("leave failed"));
  EXPECT_THAT(s->answers, IsEmpty());
  EXPECT_EQ(multicast("x").error(), errc::bad_handle);
  EXPECT_EQ(s->query_groups({}, at_ms(0)).error(), errc::bad_handle);
}

TEST_F(sessions, report_closed_as_the_last_notice_and_send_finalize_last) {
  become_joined();
  service->set_flow_control(2);
  confirmed("c");
  ASSERT_TRUE(s->flush(note<void>("flush"), at_ms(50)));
  s->close(std::nullopt);
  bool finalized = false;
  s->finalize(at_ms(50), [&] { finalized = true; });
  EXPECT_EQ(texts().back(), "closed");
  EXPECT_THAT(outcomes, ElementsAre("c unknown", "flush failed"));
  service->set_flow_control(0);
  EXPECT_THAT(exchange(), ElementsAre("multicast c", "finalize"));
  EXPECT_FALSE(finalized);
  answer(*service, wire::response::finalize);
  exchange();
  EXPECT_TRUE(finalized);
}

TEST_F(sessions, finalize_at_once_without_a_connection) {
  session unconnected({own_pid, 20000, std::chrono::milliseconds(100)}, queue);
  bool finalized = false;
  unconnected.finalize(at_ms(50), [&] { finalized = true; });
  EXPECT_TRUE(finalized);
  EXPECT_TRUE(unconnected.progress(at_ms(0)));
}

TEST_F(sessions, end_an_unanswered_finalize_at_its_deadline) {
  become_joined();
  s->close(std::nullopt);
  bool finalized = false;
  s->finalize(at_ms(50), [&] { finalized = true; });
  exchange();
  ASSERT_TRUE(s->tick(at_ms(50)));
  EXPECT_TRUE(finalized);
}

TEST_F(sessions, hand_the_queue_to_the_next_connection) {
  become_joined();
  service->set_flow_control(2);
  confirmed("kept");
  s->lose(error(errc::service_lost), true);
  EXPECT_THAT(texts(), ElementsAre("lost: " + text_of_lost));
  const auto old = std::move(s);
  old->detach_queue();
  connect();
  s->announce_restoration();
  become_joined();
  EXPECT_THAT(exchange(), ElementsAre("multicast kept"));
  EXPECT_THAT(outcomes, IsEmpty());
}

TEST_F(sessions, report_a_broken_answer) {
  exchange();
  answer(*service, wire::response::leave);
  const auto broken = s->progress(at_ms(0));
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error(), errc::malformed);
}

/// Random use of a joined handle, then a loss or a close: each completion and confirmation runs exactly once.
RC_GTEST_PROP(sessions_property, complete_each_exactly_once, ()) {
  multicast_pool pool;
  send_queue queue({100000, 0, 9000, 2000}, pool);
  in_process_service service;
  session s({own_pid, 9000, std::chrono::milliseconds(40)}, queue);
  std::deque<int> counts;
  int clock = 0;
  const auto serve = [&] {
    service.take_doorbells();
    for (const auto& one : service.take_requests()) {
      switch (one.id()) {
        case wire::request::join: answer(service, wire::response::join); break;
        case wire::request::leave: answer(service, wire::response::leave); break;
        case wire::request::local_get: answer_local_node(service, own_node); break;
        case wire::request::iteration_initialize: answer_iteration(service, 1); break;
        case wire::request::iteration_next:
          answer(service, wire::response::iteration_next, wire::status::no_sections);
          break;
        case wire::request::iteration_finalize: answer(service, wire::response::iteration_finalize); break;
        case wire::request::finalize: answer(service, wire::response::finalize); break;
        case wire::request::partial_multicast: answer(service, wire::response::partial_multicast); break;
        default: break;
      }
    }
  };
  const auto progress = [&] { RC_ASSERT(s.tick(at_ms(clock))); };
  const auto run = [&] {
    s.answers_to_notices(s.answers.size());
    describe_all(s.notices);
    queue.sweep();
  };
  s.attach(service.connect_owned(), at_ms(0));
  RC_ASSERT(s.join("g", {}, at_ms(0)));
  for (int i = 0; i < 3; ++i) {
    progress();
    serve();
  }
  auto view = cpgring::test::view_event("g", own_pid, true);
  event decoded;
  std::vector<cpg::aborted> torn;
  decode(view.data(), static_cast<std::uint32_t>(view.size()), decoded);
  s.configuration_changed(decoded.membership, torn);
  RC_ASSERT(s.state() == handle_state::joined);
  for (const int step : *rc::gen::container<std::vector<int>>(100, rc::gen::inRange(0, 11))) {
    const auto count = [&]() -> int* { return &counts.emplace_back(0); };
    const std::string text(step == 0 ? 5000 : 10, 'x');
    const std::span<const std::byte> one[] = {bytes_of(text)};
    if (step <= 2) {
      if (!queue.admit(text.size() + overhead, text.size(), false)) {
        continue;
      }
      int* const at = count();
      if (!s.multicasts().multicast_confirmed(one, text.size(), at_ms(clock + 30),
                                              [at](const auto&) { ++*at; })) {
        ++*at;
        queue.release(text.size() + overhead);
      }
    } else if (step == 3) {
      static_cast<void>(s.multicasts().multicast(one, text.size()));
    } else if (step == 4) {
      int* const at = count();
      RC_ASSERT(s.query_members(
          "g", [at](const auto&) { ++*at; }, at_ms(clock)));
    } else if (step == 5) {
      int* const at = count();
      RC_ASSERT(s.flush([at](const auto&) { ++*at; }, at_ms(clock + 20)));
    } else if (step == 6) {
      service.set_flow_control(clock % 2 == 0 ? 2 : 0);
    } else if (step == 7) {
      clock += 7;
    } else if (step == 8) {
      progress();
    } else if (step == 9) {
      serve();
    } else {
      run();
    }
  }
  if (*rc::gen::arbitrary<bool>()) {
    s.lose(error(errc::service_lost));
  } else {
    s.close(std::nullopt);
    s.finalize(at_ms(clock + 1000), [] {});
    service.set_flow_control(0);
    for (int i = 0; i < 200; ++i) {
      progress();
      serve();
    }
    RC_ASSERT(!queue.has_unwritten() && queue.counted() == 0U);
  }
  run();
  RC_ASSERT(std::all_of(counts.begin(), counts.end(), [](int n) { return n == 1; }));
}

}  // namespace
