// The shutdown of an engine: what is still sent, how long it waits, which callbacks run, what is freed.
#include "runtime/shutdown.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "delivery/completion_guard.hpp"
#include "unit/runtime/shard_case.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::runtime;
using namespace cpgring::runtime::test;
namespace wire = cpgring::cpg::wire;
using log_lines = std::vector<std::string>;
using std::chrono::milliseconds;

/// A shard whose service may answer while the shutdown waits.
struct ending_case : shard_case {
  explicit ending_case(engine_options o = default_options()) : shard_case(std::move(o)) { ending = this; }
  shutdown_report end(milliseconds deadline = milliseconds(2000)) {
    return shut_down(deadline, [](std::chrono::microseconds span) {
      manual_clock::advance(span);
      if (ending->answers_while_ending) {
        ending->serve();
      }
    });
  }
  /// A completion wrapped as a handle wraps those of its user.
  completion<void> guarded(const std::string& name) {
    auto guard = std::make_shared<delivery::completion_guard<result<void>>>(
        the_shard().options().log, [this, name](const result<void>& r) {
          log.push_back(name + (r ? " done" : ' ' + r.error().code.message()));
        });
    return [guard](result<void> outcome) { guard->call(std::move(outcome)); };
  }
  bool answers_while_ending = true;
  static inline ending_case* ending = nullptr;
};

std::string stopped() { return make_error_code(errc::stopped).message(); }

TEST(shutdown, sends_everything_and_waits_for_each_service) {
  ending_case c;
  const auto a = c.open_joined(), b = c.open_joined();
  ASSERT_TRUE(multicast(*a, "a"));
  ASSERT_TRUE(multicast(*b, "b"));
  const auto report = c.end();
  EXPECT_EQ(report.handles, 2U);
  EXPECT_TRUE(report.clean());
  for (auto& one : c.clients) {
    EXPECT_EQ(one.answers.multicasts.size(), 1U);
    EXPECT_EQ(one.answers.requests.back(), wire::request::finalize);
    EXPECT_TRUE(one.side->client_gone());
  }
}

TEST(shutdown, waits_at_most_until_its_deadline) {
  ending_case c;
  const auto h = c.open_joined();
  c.answers_while_ending = false;
  const auto before = c.clock.read();
  const auto report = c.end(milliseconds(500));
  EXPECT_EQ(report.unanswered, 1U);
  EXPECT_FALSE(report.clean());
  EXPECT_GE(c.clock.read() - before, milliseconds(500));
  EXPECT_LE(c.clock.read() - before, milliseconds(501));
  EXPECT_TRUE(c.clients[0].side->client_gone());
}

TEST(shutdown, does_not_wait_with_a_deadline_of_zero) {
  ending_case c;
  const auto h = c.open_joined();
  const auto before = c.clock.read();
  EXPECT_EQ(c.end(milliseconds(0)).unanswered, 1U);
  EXPECT_EQ(c.clock.read(), before);
}

TEST(shutdown, does_not_wait_for_lost_or_unanswered_connections) {
  ending_case c;
  const auto gone = c.open_joined();
  c.answers_handshakes = false;
  const auto connecting = c.open();
  c.rounds(2);
  c.clients[0].side->hang_up();
  c.answers_while_ending = false;
  const auto before = c.clock.read();
  const auto report = c.end();
  EXPECT_EQ(report.unanswered, 0U);
  EXPECT_EQ(c.clock.read(), before);
}

TEST(shutdown, closes_a_reconnecting_handle_but_not_a_lost_one) {
  ending_case c;
  const auto lost = c.open_joined();
  c.options.supervision.reconnect = true;
  const auto waits = c.open_joined();
  c.service_goes();
  c.rounds(1);
  ASSERT_EQ(waits->state(), handle_state::lost);
  ASSERT_EQ(lost->state(), handle_state::lost);
  c.end();
  EXPECT_EQ(waits->state(), handle_state::closed);
  EXPECT_EQ(lost->state(), handle_state::lost);
}

TEST(shutdown, sends_multicasts_still_in_the_intake) {
  ending_case c;
  const auto h = c.open_joined();
  const payload_of first("first"), second("second");
  ASSERT_TRUE(c.the_shard().submit_multicast(*h, first.pieces(), first.size()));
  ASSERT_TRUE(c.the_shard().submit_multicast(*h, second.pieces(), second.size()));
  EXPECT_TRUE(c.end().clean());
  EXPECT_EQ(c.clients[0].answers.multicasts, (log_lines{"first", "second"}));
}

TEST(shutdown, counts_unsent_multicasts) {
  ending_case c;
  const auto h = c.open_joined();
  c.clients[0].side->set_flow_control(1);
  for (const char* text : {"123", "45678"}) {
    const payload_of all(text);
    ASSERT_TRUE(c.the_shard().submit_multicast(*h, all.pieces(), all.size()));
  }
  const auto report = c.end(milliseconds(10));
  EXPECT_EQ(report.unsent, 2U);
  EXPECT_EQ(report.unsent_bytes, 8U);
  EXPECT_FALSE(report.clean());
}

TEST(shutdown, counts_multicasts_kept_for_a_join_as_unsent) {
  ending_case c;
  c.options.supervision.queue_bytes = 100;
  c.answers_handshakes = false;
  const auto h = c.open();
  c.rounds(2);
  ASSERT_TRUE(multicast(*h, "1234"));
  const auto report = c.end();
  EXPECT_EQ(report.unsent, 1U);
  EXPECT_EQ(report.unsent_bytes, 4U);
}

TEST(shutdown, calls_each_open_completion_once_with_stopped) {
  ending_case c;
  const auto h = c.open();
  c.rounds(3);
  c.answers_requests = false;
  ASSERT_TRUE(h->join("g", c.guarded("join")));
  ASSERT_TRUE(h->flush(base::time_point::max(), c.guarded("flush")));
  c.rounds(1);
  c.log.clear();
  ASSERT_TRUE(c.the_shard().cross(
      [done = c.guarded("crossing"), h]() mutable { static_cast<void>(h->leave(std::move(done))); }));
  c.answers_while_ending = false;
  c.end(milliseconds(10));
  std::sort(c.log.begin(), c.log.end());
  EXPECT_EQ(c.log, (log_lines{"crossing " + stopped(), "flush " + stopped(), "join " + stopped()}));
}

TEST(shutdown, calls_each_open_confirmation_once) {
  ending_case c;
  const auto h = c.open_joined();
  const auto recorded = [&c](const char* name) {
    return [&c, name](const multicast_outcome& o) {
      c.log.push_back(name + (' ' + std::string(to_string(o.fate))) + ' ' + o.cause->code.message());
    };
  };
  ASSERT_TRUE(multicast_confirmed(*h, "a", base::time_point::max(), recorded("sent")));
  c.rounds(1);
  c.clients[0].side->set_flow_control(1);
  ASSERT_TRUE(multicast_confirmed(*h, "b", base::time_point::max(), recorded("unsent")));
  c.answers_while_ending = false;
  c.end(milliseconds(10));
  EXPECT_EQ(c.log, (log_lines{"sent unknown " + stopped(), "unsent not sent " + stopped()}));
}

TEST(shutdown, calls_a_confirmation_kept_for_a_join_once) {
  ending_case c;
  c.options.supervision.queue_bytes = 1000;
  c.answers_handshakes = false;
  const auto h = c.open();
  c.rounds(2);
  ASSERT_TRUE(multicast_confirmed(*h, "a", base::time_point::max(), [&c](const multicast_outcome& o) {
    c.log.push_back(std::string(to_string(o.fate)) + ' ' + o.cause->code.message());
  }));
  c.end();
  EXPECT_EQ(c.log, log_lines{"not sent " + stopped()});
}

TEST(shutdown, runs_no_user_callback_and_no_task) {
  ending_case c;
  const auto h = c.open_joined();
  auto captured = std::make_shared<int>(0);
  ASSERT_TRUE(c.the_shard().schedule(c.clock.read() + milliseconds(1), milliseconds(0),
                                     [&c, captured] { c.log.emplace_back("scheduled"); }));
  c.rounds(1);
  c.clients[0].side->send_event(cpgring::test::message_event("g", 5, "m"));
  ASSERT_TRUE(c.the_shard().post([&c, captured] { c.log.emplace_back("posted"); }));
  EXPECT_EQ(captured.use_count(), 3);
  c.end();
  EXPECT_EQ(c.log, log_lines{});
  EXPECT_EQ(captured.use_count(), 1) << "captures of the tasks are freed";
}

TEST(shutdown, frees_all_handles_and_the_shard) {
  std::weak_ptr<shard> freed;
  std::weak_ptr<handle_core> live, closing, away;
  auto captured = std::make_shared<int>(0);
  {
    ending_case c;
    c.options.supervision.reconnect = true;
    const auto calls = [&] {
      auto made = c.recorder();
      made->on_view = [captured](handle&, const view&) {};
      return made;
    };
    freed = c.shards.front();
    away = c.open_joined(calls());
    c.service_goes();
    c.rounds(2);
    c.listener.listen();
    live = c.open_joined(calls());
    closing = c.open_joined(calls());
    c.answers_requests = false;
    closing.lock()->request_close();
    EXPECT_EQ(captured.use_count(), 4);
    c.answers_while_ending = false;
    const auto report = c.end(milliseconds(5));
    EXPECT_EQ(report.handles, 3U);
    EXPECT_EQ(report.unanswered, 2U) << "the service had hung up on the third";
    EXPECT_TRUE(live.expired());
    EXPECT_TRUE(closing.expired());
    EXPECT_TRUE(away.expired());
    EXPECT_EQ(captured.use_count(), 1);
    for (auto& one : c.clients) {
      EXPECT_TRUE(one.side->client_gone());
    }
  }
  EXPECT_TRUE(freed.expired());
}

TEST(shutdown, ends_a_shard_that_was_never_driven) {
  ending_case c;
  std::weak_ptr<handle_core> never = c.open();
  ASSERT_TRUE(c.the_shard().cross([done = c.guarded("crossing")] {}));
  const auto report = c.end();
  EXPECT_EQ(report.handles, 0U);
  EXPECT_TRUE(never.expired());
  EXPECT_EQ(c.log, log_lines{"crossing " + stopped()});
}

}  // namespace
