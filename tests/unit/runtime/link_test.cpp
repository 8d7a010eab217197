// A link through its phases: every phase with every event, and the calls to owner and user.
#include <algorithm>
#include <chrono>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "unit/runtime/link_case.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::runtime;
using namespace cpgring::runtime::test;
namespace wire = cpgring::cpg::wire;
using log_lines = std::vector<std::string>;

// --- the table ---------------------------------------------------------------------------------------------

enum class happening {
  begin,
  handshake_done,
  lose,
  close,
  finalize_answered,
  hang_up,
  deadline,
  workers_idle
};
constexpr happening happenings[] = {happening::begin,    happening::handshake_done,    happening::lose,
                                    happening::close,    happening::finalize_answered, happening::hang_up,
                                    happening::deadline, happening::workers_idle};

const char* name_of(happening what) {
  constexpr const char* names[] = {"begin",   "handshake_done", "lose",        "close", "finalize_answered",
                                   "hang_up", "deadline",       "workers_idle"};
  return names[static_cast<std::size_t>(what)];
}

/// The event of the phase table; for actions of the service it depends on the phase.
link_event event_of(phase in, happening what) {
  switch (what) {
    case happening::begin: return link_event::slot_free;
    case happening::handshake_done: return link_event::connected;
    case happening::lose: return link_event::lost;
    case happening::close: return link_event::closed;
    case happening::finalize_answered: return link_event::taken_over;
    case happening::hang_up:
    case happening::deadline:
      if (what == happening::deadline && in == phase::live) {
        return link_event::taken_over;  // the service has answered, so no connect deadline remains
      }
      return in == phase::handshaking || in == phase::live ? link_event::lost : link_event::taken_over;
    case happening::workers_idle: return link_event::idle;
  }
  return link_event::idle;
}

void happen(link_case& c, happening what) {
  switch (what) {
    case happening::begin: c.begin(); return;
    case happening::handshake_done:
      if (c.made->at() == phase::handshaking) {
        c.connect();
      }
      return;
    case happening::lose: c.made->lose(error(errc::malformed)); return;
    case happening::close: c.made->close(); return;
    case happening::finalize_answered:
      if (c.service) {
        c.rounds(2);
        c.round();
      }
      return;
    case happening::hang_up:
      if (!c.service) {
        c.service = c.listener.accept();
      }
      if (c.service) {
        c.service->hang_up();
        c.round();
      }
      return;
    case happening::deadline:
      c.clock.advance(link_case::connect_deadline + std::chrono::milliseconds(1));
      c.host.reactor_of->reap();
      return;
    case happening::workers_idle:
      c.hear();
      c.host.sweep();
      return;
  }
}

/// True if happen() ends with a sweep, after which a finished link is gone.
bool swept(happening what) { return what == happening::finalize_answered || what == happening::hang_up; }

struct heard {
  log_lines owner, user;
};

/// All calls of the whole table; the other pairs make none.
const std::map<std::pair<phase, happening>, heard> all_heard{
    {{phase::queued, happening::lose}, {{"connection_lost", "loss_reported"}, {"connecting -> lost"}}},
    {{phase::queued, happening::close}, {{"closing", "closed"}, {"connecting -> closed"}}},
    {{phase::handshaking, happening::handshake_done}, {{"connected"}, {}}},
    {{phase::handshaking, happening::lose}, {{"connection_lost", "loss_reported"}, {"connecting -> lost"}}},
    {{phase::handshaking, happening::close}, {{"closing", "closed"}, {"connecting -> closed"}}},
    {{phase::handshaking, happening::hang_up},
     {{"connection_lost", "loss_reported"}, {"connecting -> lost"}}},
    {{phase::handshaking, happening::deadline},
     {{"connection_lost", "loss_reported"}, {"connecting -> lost"}}},
    {{phase::live, happening::lose}, {{"connection_lost", "loss_reported"}, {"joined -> lost"}}},
    {{phase::live, happening::close}, {{"closing"}, {"joined -> closed"}}},
    {{phase::live, happening::hang_up}, {{"connection_lost", "loss_reported"}, {"joined -> lost"}}},
    {{phase::lingering, happening::lose}, {{"closed"}, {}}},
    {{phase::lingering, happening::finalize_answered}, {{"closed"}, {}}},
    {{phase::lingering, happening::hang_up}, {{"closed"}, {}}},
    {{phase::lingering, happening::deadline}, {{"closed"}, {}}},
    // Draining: only the queued callback of the loss runs.
    {{phase::draining, happening::begin}, {{}, {"joined -> lost"}}},
    {{phase::draining, happening::handshake_done}, {{}, {"joined -> lost"}}},
    {{phase::draining, happening::lose}, {{}, {"joined -> lost"}}},
    {{phase::draining, happening::close}, {{}, {"joined -> lost"}}},
    {{phase::draining, happening::finalize_answered}, {{}, {"joined -> lost"}}},
    {{phase::draining, happening::hang_up}, {{}, {"joined -> lost"}}},
    {{phase::draining, happening::deadline}, {{}, {"joined -> lost"}}},
    {{phase::draining, happening::workers_idle}, {{}, {"joined -> lost"}}},
};

class link_table : public testing::TestWithParam<phase> {};

TEST_P(link_table, follows_the_phase_table_and_reports_each_change_once) {
  const phase in = GetParam();
  for (const happening what : happenings) {
    SCOPED_TRACE(std::string(to_string(in)) + " and " + name_of(what));
    link_case c;
    c.bring_to(in);
    happen(c, what);
    phase to = next_phase(in, event_of(in, what));
    if (to == phase::draining && swept(what) && c.made->finished()) {
      to = phase::gone;
    }
    EXPECT_EQ(to_string(c.made->at()), to_string(to));
    c.hear();
    const auto row = all_heard.find({in, what});
    const heard expected = row == all_heard.end() ? heard{} : row->second;
    EXPECT_EQ(c.owner.log, expected.owner);
    EXPECT_EQ(c.log, expected.user);
    c.rounds(2);
    c.hear();
    const bool connects = in == phase::handshaking && what == happening::handshake_done;
    EXPECT_EQ(c.log.size(), connects ? 1U : expected.user.size()) << "no repetition";
    c.host.sweep();
    if (!c.made->open() && c.made->at() != phase::lingering) {
      EXPECT_EQ(to_string(c.made->at()), "gone") << "a swept link is gone";
      EXPECT_EQ(c.made->session().connection(), nullptr);
      EXPECT_TRUE(!c.service || c.service->client_gone());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(phases, link_table,
                         testing::Values(phase::queued, phase::handshaking, phase::live, phase::lingering,
                                         phase::draining, phase::gone),
                         [](const auto& p) { return std::string(to_string(p.param)); });

// --- connecting --------------------------------------------------------------------------------------------

TEST(link, frees_its_handshake_slot_once_for_every_outcome) {
  for (const phase to : {phase::live, phase::draining}) {
    link_case c;
    c.make();
    c.begin();
    EXPECT_EQ(c.host.handshakes_ended, 0);
    to == phase::live ? c.connect() : c.made->lose(error(errc::timeout));
    EXPECT_EQ(c.host.handshakes_ended, 1);
    c.made->close();
    c.rounds();
    EXPECT_EQ(c.host.handshakes_ended, 1);
  }
  link_case c;
  c.make();
  c.made->close();
  c.begin();
  EXPECT_EQ(c.host.handshakes_ended, 1) << "closed before its handshake began";
}

TEST(link, is_lost_at_once_without_a_service) {
  link_case c;
  c.listener.stop_listening();
  c.make();
  c.begin();
  EXPECT_EQ(c.made->at(), phase::draining);
  ASSERT_EQ(c.owner.causes.size(), 1U);
  EXPECT_EQ(c.owner.causes[0].code, errc::service_absent);
  EXPECT_EQ(c.host.handshakes_ended, 1);
  EXPECT_FALSE(c.owner.was_connected);
}

TEST(link, retries_every_millisecond_while_the_backlog_is_full) {
  link_case c;
  ipc::test::fake_service busy(0);  // backlog for one client
  c.options.service = busy.name();
  runtime::link first(c.host, c.owner, c.shared, c.queue, c.who, {});
  first.begin(c.clock.read() + link_case::connect_deadline);
  c.make();
  c.begin();
  EXPECT_EQ(c.made->at(), phase::handshaking);
  busy.accept();
  EXPECT_EQ(busy.request().size(), 24U);
  c.clock.advance(std::chrono::milliseconds(1));
  c.host.reactor_of->reap();
  busy.accept();
  EXPECT_EQ(busy.request().size(), 24U) << "request of the second link";
  EXPECT_EQ(c.owner.log, log_lines{});
  first.close();
}

TEST(link, is_lost_at_the_deadline_if_only_the_handshake_is_answered) {
  link_case c;
  c.make();
  c.begin();
  c.connect();
  ASSERT_EQ(c.made->at(), phase::live);
  c.clock.advance(link_case::connect_deadline - std::chrono::milliseconds(1));
  c.round();
  EXPECT_EQ(c.made->at(), phase::live);
  c.clock.advance(std::chrono::milliseconds(1));
  c.round();
  EXPECT_EQ(c.made->at(), phase::draining);
  ASSERT_EQ(c.owner.causes.size(), 1U);
  EXPECT_EQ(c.owner.causes[0].code, errc::timeout);
  EXPECT_TRUE(c.owner.was_connected);
}

TEST(link, joins_its_initial_group_once_the_service_answers) {
  link_case c;
  link::beginning with;
  with.group = "g";
  with.joined = [&c](const result<void>& r) { c.log.emplace_back(r ? "done" : "failed"); };
  c.make(std::move(with));
  c.begin();
  c.connect();
  c.rounds(6);
  EXPECT_EQ(c.answers.requests, (std::vector{wire::request::local_get, wire::request::join}));
  EXPECT_EQ(c.log, (log_lines{"connecting -> ready", "ready -> joining", "joining -> joined", "done"}));
  EXPECT_EQ(c.owner.log, (log_lines{"connected", "answered"}));
  EXPECT_EQ(c.owner.state, handle_state::joined);
  EXPECT_TRUE(c.made->announced());
}

TEST(link, treats_a_refused_rejoin_as_a_loss) {
  link_case c;
  link::beginning with;
  with.group = "g";
  with.rejoins = true;
  c.make(std::move(with));
  c.begin();
  c.connect();
  c.rounds(1);
  c.round();
  while (c.service->take_request()) {
  }
  c.service->answer(
      cpgring::test::answer_of(wire::response::join, wire::response_header_bytes, wire::status::exist));
  c.round();
  c.round();
  EXPECT_EQ(c.made->at(), phase::draining);
  ASSERT_EQ(c.owner.causes.size(), 1U);
  EXPECT_EQ(c.owner.causes[0].code, errc::exist);
}

TEST(link, reports_a_restoration_if_it_follows_a_loss) {
  link_case c;
  c.calls.on_restored = [&c](handle&, const restoration& r) {
    c.log.push_back("restored in " + std::to_string(r.attempts));
  };
  link::beginning with;
  with.follows_a_loss = true;
  c.make(std::move(with));
  c.begin();
  c.connect();
  c.rounds();
  EXPECT_EQ(c.log, (log_lines{"connecting -> ready", "restored in 2"}));
}

TEST(link, does_not_report_a_failed_attempt_that_is_retried) {
  link_case c;
  c.owner.again = true;
  c.make();
  c.begin();
  c.made->lose(error(errc::service_absent));
  c.hear();
  EXPECT_EQ(c.log, log_lines{});
  EXPECT_TRUE(c.made->hidden());
  link_case announced;
  announced.owner.again = true;
  announced.bring_to(phase::live);
  announced.made->lose(error(errc::service_lost));
  announced.hear();
  EXPECT_EQ(announced.log, log_lines{"joined -> lost"});
  EXPECT_FALSE(announced.made->hidden());
}

// --- events and doorbells ----------------------------------------------------------------------------------

TEST(link, delivers_messages_in_its_turn) {
  link_case c;
  c.bring_to(phase::live);
  c.send("m0");
  c.send("m1");
  c.round();
  EXPECT_EQ(c.log, (log_lines{"m0", "m1"}));
}

TEST(link, delivers_messages_that_precede_a_hang_up_which_a_retry_meets_first) {
  link_case c;
  c.bring_to(phase::live);
  ASSERT_TRUE(c.made->leave({}));
  ASSERT_TRUE(c.service->take_request());
  c.service->answer(
      cpgring::test::answer_of(wire::response::leave, wire::response_header_bytes, wire::status::try_again));
  c.round();
  c.send("m");
  c.service->be_killed();
  manual_clock::advance(std::chrono::milliseconds(5));  // the leave is asked for again ahead of the turn
  c.round();
  c.hear();
  EXPECT_EQ(c.log, (log_lines{"joined -> leaving", "m", "leaving -> lost"}));
  EXPECT_EQ(c.owner.causes.at(0).code, errc::service_lost);
}

TEST(link, publishes_counters_and_state_only_after_a_turn_that_changed_them) {
  link_case c;
  c.bring_to(phase::live);
  c.round();
  c.owner.changes = 0;
  c.send("m0");
  c.round();
  EXPECT_EQ(c.log, log_lines{"m0"});
  EXPECT_EQ(c.owner.changes, 0) << "a message changes neither";
  c.multicast("a");
  c.send("m1");
  c.round();
  EXPECT_EQ(c.owner.changes, 1) << "a multicast is counted";
}

TEST(link, publishes_all_multicasts_of_a_held_doorbell_together) {
  link_case c;
  c.bring_to(phase::live);
  c.service->take_doorbells();
  c.made->hold_doorbell();
  c.made->hold_doorbell();
  ASSERT_EQ(c.host.dirty.size(), 1U) << "marked once";
  c.multicast("a");
  c.multicast("b");
  EXPECT_EQ(c.service->requests_waiting(), 0U);
  c.host.flush_dirty();
  EXPECT_EQ(c.service->requests_waiting(), 2U);
  c.made->hold_doorbell();
  EXPECT_EQ(c.host.dirty.size(), 1U) << "marked again after the doorbell";
}

TEST(link, sends_held_multicasts_before_finalize_at_a_close) {
  link_case c;
  c.bring_to(phase::live);
  c.made->hold_doorbell();
  c.multicast("last words");
  c.made->close();
  c.rounds(2);
  EXPECT_EQ(c.answers.multicasts, log_lines{"last words"});
  EXPECT_EQ(c.answers.requests, (std::vector{wire::request::multicast, wire::request::finalize}));
  c.hear();
  c.round();
  EXPECT_EQ(c.made->at(), phase::gone);
}

// --- ends --------------------------------------------------------------------------------------------------

TEST(link, discards_and_reclaims_events_after_the_close) {
  link_case c;
  c.bring_to(phase::lingering);
  for (int i = 0; i < 20; ++i) {
    c.send("unheard");
  }
  c.round();
  EXPECT_EQ(c.log, log_lines{});
  EXPECT_EQ(c.made->session().connection()->events().used_bytes(), 0U);
  EXPECT_EQ(c.made->at(), phase::lingering);
}

TEST(link, closes_with_a_cause_when_a_callback_throws) {
  link_case c;
  c.calls.on_message = [](handle&, const message&) { throw std::runtime_error("no more"); };
  c.bring_to(phase::live);
  c.send("m");
  c.round();
  EXPECT_EQ(c.made->at(), phase::lingering);
  EXPECT_EQ(c.owner.log, log_lines{"closing, with a cause"});
}

TEST(link, survives_a_throwing_completion_while_draining) {
  link_case c;
  c.make();
  c.begin();
  bool threw = false;
  ASSERT_TRUE(c.made->join("g", [&threw](const result<void>&) {
    threw = true;
    throw std::runtime_error("no more");
  }));
  c.made->lose(error(errc::service_lost));
  c.hear();
  EXPECT_TRUE(threw);
  EXPECT_EQ(c.made->at(), phase::draining) << "the link was ending already";
  c.host.sweep();
  EXPECT_EQ(c.made->at(), phase::gone);
}

TEST(link, is_not_gone_before_its_last_callbacks_ran) {
  link_case c;
  c.bring_to(phase::draining);
  EXPECT_FALSE(c.made->finished());
  c.host.sweep();
  EXPECT_EQ(c.made->at(), phase::draining);
  c.hear();
  EXPECT_TRUE(c.made->finished());
  c.host.sweep();
  EXPECT_EQ(c.made->at(), phase::gone);
}

TEST(link, runs_only_completions_when_superseded) {
  link_case c;
  c.bring_to(phase::live);
  ASSERT_TRUE(
      c.made->session().flush([&c](const result<void>& r) { c.log.emplace_back(r ? "done" : "failed"); },
                              c.clock.read() + std::chrono::hours(1)));
  c.made->supersede();
  EXPECT_EQ(c.made->at(), phase::lingering);
  c.hear();
  EXPECT_EQ(c.log, log_lines{"failed"});
  EXPECT_EQ(c.owner.log, log_lines{});
  c.rounds(2);
  c.round();
  EXPECT_EQ(c.made->at(), phase::gone);
  EXPECT_EQ(c.log.size(), 1U);
}

TEST(link, reports_the_group_for_the_next_link) {
  link_case c;
  c.bring_to(phase::live);
  EXPECT_EQ(c.made->group_to_join(), "g");
  ASSERT_TRUE(c.made->leave({}));
  EXPECT_EQ(c.made->group_to_join(), "") << "no group after a leave";
}

TEST(link, is_not_gone_before_its_owner_releases_it) {
  link_case c;
  c.owner.releases = false;
  c.bring_to(phase::draining);
  c.hear();
  c.host.sweep();
  EXPECT_EQ(c.made->at(), phase::draining);
  c.owner.releases = true;
  c.made->sweep();
  EXPECT_EQ(c.made->at(), phase::gone);
}

TEST(link, keeps_unwritten_multicasts_only_if_its_owner_asks) {
  for (const bool keeps : {false, true}) {
    link_case c;
    c.owner.again = c.owner.keeps_unwritten = keeps;
    c.bring_to(phase::live);
    c.service->set_flow_control(1);
    const std::byte payload[4]{};
    ASSERT_TRUE(c.made->session().multicasts().multicast_or_queue(payload));
    ASSERT_TRUE(c.queue.has_unwritten());
    c.made->lose(error(errc::service_lost));
    EXPECT_EQ(c.queue.has_unwritten(), keeps);
  }
}

// --- workers -----------------------------------------------------------------------------------------------

TEST(link, keeps_its_rings_while_workers_have_messages_in_them) {
  link_case c(1);
  c.bring_to(phase::live);
  c.send("m0");
  c.round();
  ASSERT_EQ(c.hands[0].messages_waiting(), 1U);
  c.made->lose(error(errc::service_lost));
  EXPECT_EQ(c.made->at(), phase::draining);
  ASSERT_NE(c.made->session().connection(), nullptr);
  c.host.sweep();
  EXPECT_EQ(c.made->at(), phase::draining);
  c.hear();
  EXPECT_EQ(c.made->session().connection(), nullptr);
  EXPECT_EQ(c.log, (log_lines{"m0", "joined -> lost"}));
  c.host.sweep();
  EXPECT_EQ(c.made->at(), phase::gone);
}

TEST(link, skips_messages_at_workers_after_a_close_and_reports_closed) {
  link_case c(1);
  c.bring_to(phase::live);
  c.send("m0");
  c.round();
  c.made->close();
  EXPECT_EQ(c.made->at(), phase::lingering);
  c.hear();
  EXPECT_EQ(c.log, log_lines{"joined -> closed"});
  c.rounds(2);
  c.round();
  c.hear();
  c.host.sweep();
  EXPECT_EQ(c.made->at(), phase::gone);
}

// --- end of the engine -------------------------------------------------------------------------------------

TEST(link, closes_without_a_reactor_when_its_engine_ends) {
  link_case c;
  c.bring_to(phase::live);
  c.multicast("last words");
  c.made->forget_reactor();
  c.host.reactor_of.reset();
  c.made->begin_blocking_close(c.clock.read() + std::chrono::seconds(1));
  EXPECT_FALSE(c.made->blocking_close_done());
  c.answers.serve(*c.service);
  EXPECT_EQ(c.answers.requests.back(), wire::request::finalize);
  EXPECT_TRUE(c.made->blocking_close_done());
  EXPECT_EQ(c.answers.multicasts, log_lines{"last words"});
}

TEST(link, blocking_close_is_done_after_a_hang_up) {
  link_case c;
  c.bring_to(phase::live);
  c.made->forget_reactor();
  c.host.reactor_of.reset();
  c.made->begin_blocking_close(c.clock.read() + std::chrono::seconds(1));
  c.service->hang_up();
  EXPECT_TRUE(c.made->blocking_close_done());
}

TEST(link, blocking_close_is_done_at_once_without_a_connection) {
  link_case c;
  c.bring_to(phase::handshaking);
  c.made->forget_reactor();
  c.host.reactor_of.reset();
  c.made->begin_blocking_close(c.clock.read() + std::chrono::seconds(1));
  EXPECT_TRUE(c.made->blocking_close_done());
}

}  // namespace
