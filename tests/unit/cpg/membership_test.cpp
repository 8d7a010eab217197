// Join, leave, views and handle states. The test plays the service.
#include "cpg/membership.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/cpg/session_parts.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::cpg;
using namespace cpgring::cpg::test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct memberships : ::testing::Test {
  void SetUp() override {
    line.attach(service.connect_owned());
    line.set_now(at_ms(0));
  }
  /// Answers requests until the state is `ready`.
  void become_ready() {
    self.begin();
    EXPECT_THAT(exchange(), ElementsAre("local_get"));
    answer_local_node(service, own_node);
    take_answers();
    ASSERT_EQ(self.state(), handle_state::ready);
  }
  void become_joined(const std::string& group = "g") {
    become_ready();
    ASSERT_TRUE(self.join(group, done("join")));
    exchange();
    answer(service, wire::response::join);
    take_answers();
    view_of(own_pid, true);
    ASSERT_EQ(self.state(), handle_state::joined);
    texts();
  }
  /// Writes waiting requests; returns the requests that the service receives.
  std::vector<std::string> exchange() {
    no_multicasts none;
    EXPECT_TRUE(line.write(none));
    return describe_all(service);
  }
  void take_answers() { ASSERT_TRUE(line.take_answers()); }
  void tick(int ms) {
    line.set_now(at_ms(ms));
    self.tick(at_ms(ms));
  }
  membership::change decode_view(std::uint32_t pid, bool joins) {
    event_bytes = cpgring::test::view_event("g", pid, joins);
    event decoded;
    EXPECT_EQ(decode(event_bytes.data(), static_cast<std::uint32_t>(event_bytes.size()), decoded),
              event_kind::configuration);
    return self.apply(decoded.membership);
  }
  membership::own_change view_of(std::uint32_t pid, bool joins) {
    const auto change = decode_view(pid, joins);
    self.enter(change.own);
    return change.own;
  }
  completion<void> done(const std::string& name) {
    return [this, name](const result<void>& r) {
      outcomes.push_back(name + (r ? " done" : ": " + r.error().code.message()));
    };
  }
  /// Returns the notices so far as text; runs their completions.
  std::vector<std::string> texts() { return describe_all(notices); }

  in_process_service service;
  request_line line;
  std::deque<notice> notices;
  membership self{own_pid, std::chrono::milliseconds(100), line, notices};
  std::vector<std::string> outcomes;
  std::vector<std::byte> event_bytes;
};

TEST_F(memberships, become_ready_with_the_local_node) {
  EXPECT_EQ(self.state(), handle_state::connecting);
  become_ready();
  EXPECT_EQ(self.local_node(), own_node);
  EXPECT_TRUE(self.is_own(own_node, own_pid));
  EXPECT_FALSE(self.is_own(own_node, own_pid + 1));
  EXPECT_FALSE(self.is_own(own_node + 1, own_pid));
  EXPECT_THAT(texts(), ElementsAre("ready"));
}

TEST_F(memberships, announce_a_restoration_after_ready) {
  self.announce_restoration();
  become_ready();
  EXPECT_THAT(texts(), ElementsAre("ready", "restored"));
}

TEST_F(memberships, have_joined_once_the_own_view_arrives) {
  become_ready();
  texts();
  ASSERT_TRUE(self.join("g", done("join")));
  EXPECT_EQ(self.group(), "g");
  EXPECT_FALSE(self.takes_messages());
  EXPECT_THAT(exchange(), ElementsAre("join g"));
  answer(service, wire::response::join);
  take_answers();
  EXPECT_EQ(self.state(), handle_state::joining);
  EXPECT_EQ(view_of(own_pid + 1, true), membership::own_change::none) << "view of another member's join";
  EXPECT_EQ(self.state(), handle_state::joining);
  EXPECT_EQ(view_of(own_pid, true), membership::own_change::joined);
  EXPECT_TRUE(self.takes_messages());
  EXPECT_THAT(texts(), ElementsAre("joining", "joined", "done"));
  EXPECT_THAT(outcomes, ElementsAre("join done"));
}

TEST_F(memberships, send_pid_and_flags_in_a_join_request) {
  become_ready();
  ASSERT_TRUE(self.join("g", {}));
  no_multicasts none;
  ASSERT_TRUE(line.write(none));
  const auto request = service.take_request();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->u32(wire::join_request::pid), own_pid);
  EXPECT_EQ(request->u32(wire::join_request::flags), wire::join_request::flag_initial_totem_configuration);
}

TEST_F(memberships, send_an_early_join_once_ready) {
  ASSERT_TRUE(self.join("g", done("join")));
  EXPECT_EQ(self.join("h", {}).error(), errc::exist);
  self.begin();
  EXPECT_THAT(exchange(), ElementsAre("local_get"));
  answer_local_node(service, own_node);
  take_answers();
  EXPECT_EQ(self.state(), handle_state::joining);
  EXPECT_THAT(exchange(), ElementsAre("join g"));
}

TEST_F(memberships, refuse_empty_and_overlong_group_names) {
  EXPECT_EQ(self.join("", {}).error(), errc::invalid_param);
  EXPECT_EQ(self.join(std::string(129, 'x'), {}).error(), errc::name_too_long);
  EXPECT_TRUE(self.join(std::string(128, 'x'), {}));
}

TEST_F(memberships, retry_a_join_while_the_service_is_busy) {
  become_ready();
  ASSERT_TRUE(self.join("g", done("join")));
  for (const auto status : {wire::status::try_again, wire::status::busy}) {
    EXPECT_THAT(exchange(), ElementsAre("join g"));
    answer(service, wire::response::join, status);
    take_answers();
    EXPECT_EQ(self.state(), handle_state::joining);
    const auto retry = self.next_deadline();
    ASSERT_EQ(retry, line.now() + membership::retry_pause);
    self.tick(*retry - std::chrono::milliseconds(1));
    EXPECT_THAT(exchange(), IsEmpty());
    line.set_now(*retry);
    self.tick(*retry);
  }
  EXPECT_THAT(exchange(), ElementsAre("join g"));
  EXPECT_THAT(outcomes, IsEmpty());
}

TEST_F(memberships, are_ready_again_after_a_refused_join) {
  become_ready();
  texts();
  ASSERT_TRUE(self.join("g", done("join")));
  exchange();
  answer(service, wire::response::join, wire::status::exist);
  take_answers();
  EXPECT_EQ(self.state(), handle_state::ready);
  EXPECT_EQ(self.group(), "");
  ASSERT_NE(self.join_refusal(), nullptr);
  EXPECT_THAT(self.join_refusal()->message(), HasSubstr("to join group 'g'"));
  const error refused(errc::exist);
  EXPECT_THAT(texts(), ElementsAre("joining", "ready: " + refused.code.message(), "done"));
  EXPECT_THAT(outcomes, ElementsAre("join: " + refused.code.message()));
  EXPECT_TRUE(self.join("h", {}));
}

TEST_F(memberships, complete_a_join_at_its_deadline) {
  const std::string timeout = error(errc::timeout).code.message();
  become_ready();
  texts();
  ASSERT_TRUE(self.join("g", done("join")));
  EXPECT_EQ(self.next_deadline(), at_ms(100));
  exchange();
  tick(99);
  EXPECT_THAT(outcomes, IsEmpty());
  tick(100);
  texts();
  EXPECT_THAT(outcomes, ElementsAre("join: " + timeout));
  EXPECT_EQ(self.state(), handle_state::joining) << "the service has the request; it may still succeed";
  EXPECT_EQ(view_of(own_pid, true), membership::own_change::joined);
  EXPECT_THAT(texts(), ElementsAre("joined"));
}

TEST_F(memberships, cancel_a_join_when_no_request_is_outstanding_at_its_deadline) {
  become_ready();
  ASSERT_TRUE(self.join("g", done("join")));
  exchange();
  line.set_now(at_ms(97));
  answer(service, wire::response::join, wire::status::try_again);
  take_answers();
  tick(100);
  EXPECT_EQ(self.state(), handle_state::ready);
  EXPECT_NE(self.join_refusal(), nullptr);
  EXPECT_EQ(self.group(), "");
  EXPECT_THAT(exchange(), IsEmpty());
}

TEST_F(memberships, have_left_once_the_own_leave_view_arrives) {
  become_joined();
  ASSERT_TRUE(self.leave(done("leave")));
  EXPECT_EQ(self.state(), handle_state::leaving);
  EXPECT_TRUE(self.takes_messages());
  EXPECT_EQ(self.leave({}).error(), errc::not_joined);
  tick(0);
  EXPECT_THAT(exchange(), ElementsAre("leave g"));
  answer(service, wire::response::leave);
  take_answers();
  const auto change = decode_view(own_pid, false);
  EXPECT_EQ(change.own, membership::own_change::left);
  EXPECT_EQ(self.state(), handle_state::leaving) << "until enter()";
  self.enter(change.own);
  EXPECT_FALSE(self.takes_messages());
  EXPECT_THAT(texts(), ElementsAre("leaving", "left", "done"));
  EXPECT_THAT(outcomes, ElementsAre("join done", "leave done"));
  EXPECT_EQ(self.join("g", {}).error(), errc::spent);
  EXPECT_EQ(decode_view(own_pid + 1, true).shown, nullptr)
      << "a stock service still delivers after the leave";
}

TEST_F(memberships, are_joined_again_after_a_refused_leave) {
  become_joined();
  ASSERT_TRUE(self.leave(done("leave")));
  tick(0);
  exchange();
  answer(service, wire::response::leave, wire::status::busy);
  take_answers();
  tick(4);
  EXPECT_THAT(exchange(), IsEmpty());
  tick(5);
  EXPECT_THAT(exchange(), ElementsAre("leave g"));
  answer(service, wire::response::leave, wire::status::not_exist);
  take_answers();
  EXPECT_EQ(self.state(), handle_state::joined);
  texts();
  EXPECT_EQ(outcomes.back(), "leave: " + error(errc::not_exist).code.message());
}

TEST_F(memberships, complete_a_leave_at_its_deadline) {
  become_joined();
  ASSERT_TRUE(self.leave(done("leave")));
  tick(0);
  exchange();
  tick(100);
  EXPECT_EQ(self.state(), handle_state::leaving) << "the service has the request";
  texts();
  EXPECT_EQ(outcomes.back(), "leave: " + error(errc::timeout).code.message());
  ASSERT_EQ(view_of(own_pid, false), membership::own_change::left);
}

TEST_F(memberships, are_joined_again_when_no_leave_is_outstanding_at_its_deadline) {
  become_joined();
  ASSERT_TRUE(self.leave(done("leave")));
  tick(0);
  exchange();
  line.set_now(at_ms(97));
  answer(service, wire::response::leave, wire::status::try_again);
  take_answers();
  tick(100);
  EXPECT_EQ(self.state(), handle_state::joined);
  EXPECT_THAT(exchange(), IsEmpty());
}

TEST_F(memberships, detect_removal_by_another_process) {
  become_joined();
  EXPECT_FALSE(self.removed());
  EXPECT_EQ(view_of(own_pid, false), membership::own_change::removed);
  EXPECT_TRUE(self.removed());
  EXPECT_EQ(self.state(), handle_state::joined);
  EXPECT_FALSE(self.hold_view()) << "the removal view must be shown at once";
}

TEST_F(memberships, hold_a_view_only_without_pending_notices) {
  become_joined();
  const auto first = decode_view(own_pid + 1, true);
  ASSERT_NE(first.shown, nullptr);
  const auto number = first.shown->number;
  EXPECT_TRUE(self.hold_view());
  const auto merged = decode_view(own_pid + 2, true);
  EXPECT_EQ(merged.shown->number, number);
  EXPECT_EQ(merged.shown->changes, 2U);
  notices.push_back(writable{});
  EXPECT_FALSE(self.hold_view());
}

TEST_F(memberships, show_ring_changes_only_while_joined) {
  totem_configuration ring;
  ring.ring = {1, 5};
  EXPECT_EQ(self.apply(ring), nullptr);
  become_joined();
  const view* shown = self.apply(ring);
  ASSERT_NE(shown, nullptr);
  EXPECT_EQ(shown->cause, view_cause::ring);
}

TEST_F(memberships, end_once) {
  become_joined();
  ASSERT_TRUE(self.leave(done("leave")));
  self.fail_requests(error(errc::service_lost));
  self.end(handle_state::lost, error(errc::service_lost));
  self.end(handle_state::closed, std::nullopt);
  EXPECT_EQ(self.state(), handle_state::lost);
  EXPECT_EQ(texts().back(), "lost: " + error(errc::service_lost).code.message());
  EXPECT_EQ(outcomes.back(), "leave: " + error(errc::service_lost).code.message());
  EXPECT_EQ(self.usable().error(), errc::bad_handle);
  EXPECT_EQ(self.join("g", {}).error(), errc::bad_handle);
  EXPECT_EQ(self.leave({}).error(), errc::bad_handle);
}

TEST_F(memberships, accept_no_request_after_finalize) {
  become_ready();
  self.begin_finalize();
  EXPECT_TRUE(self.finalizing());
  EXPECT_EQ(self.join("g", {}).error(), errc::bad_handle);
}

}  // namespace
