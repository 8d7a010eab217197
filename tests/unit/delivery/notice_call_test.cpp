// The callback that each notice calls, and its arguments. A real session makes the notices.
#include "delivery/notice_call.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/delivery/pump_case.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::delivery;
using namespace cpgring::delivery::test;
using log_lines = std::vector<std::string>;

/// Callbacks that record all notices; the test takes them from the session and calls them.
struct notices_case : pump_case {
  notices_case() {
    calls.on_state = [this](handle&, const state_change& s) {
      log.push_back(std::string(to_string(s.from)) + " -> " + std::string(to_string(s.to)) +
                    (s.cause != nullptr ? ", " + s.cause->code.message() : ""));
    };
    calls.on_restored = [this](handle&, const restoration& r) {
      log.push_back("restored in " + std::to_string(r.attempts));
    };
    calls.on_writable = [this](handle&) { log.emplace_back("writable"); };
    calls.on_aborted = [this](handle&, const aborted_message& a) {
      log.push_back("aborted " + std::to_string(a.sender_node) + ':' + std::to_string(a.sender_pid) + ' ' +
                    std::to_string(a.bytes_received) + '/' + std::to_string(a.bytes_announced) + ' ' +
                    a.cause->code.message());
    };
  }
  /// Runs all notices of the session.
  void run() {
    while (!session->notices.empty()) {
      auto one = std::move(session->notices.front());
      session->notices.pop_front();
      ASSERT_TRUE(has_callback(calls, one));
      notice_call{&calls, handle(), std::move(one), {2, {}}}();
    }
  }
};

TEST(notice_call, reports_each_state_change_with_its_cause) {
  notices_case c;
  c.join();
  c.session->lose(error(errc::service_lost));
  c.run();
  EXPECT_EQ(c.log, log_lines{"joined -> lost, " + make_error_code(errc::service_lost).message()});
  notices_case closed;
  closed.join();
  closed.session->close(std::nullopt);
  closed.run();
  EXPECT_EQ(closed.log, log_lines{"joined -> closed"});
}

TEST(notice_call, runs_a_completion_with_its_outcome) {
  notices_case c;
  c.begin();
  ASSERT_TRUE(c.session->join(
      "g", [&c](const result<void>& r) { c.log.push_back("join " + r.error().code.message()); }, c.now()));
  c.session->lose(error(errc::service_lost));
  c.run();
  ASSERT_EQ(c.log.size(), 2U);
  EXPECT_EQ(c.log[0], "join " + make_error_code(errc::service_lost).message());
}

TEST(notice_call, reports_a_restoration_with_its_attempts) {
  notices_case c;
  c.begin();
  c.session->announce_restoration();
  ASSERT_TRUE(c.session->progress(c.now()));
  c.answers.serve(c.service);
  ASSERT_TRUE(c.session->progress(c.now()));
  c.run();
  EXPECT_EQ(c.log, (log_lines{"connecting -> ready", "restored in 2"}));
}

TEST(notice_call, reports_that_the_handle_is_writable_again) {
  notices_case c;
  c.join();
  c.service.set_flow_control(1);
  const std::byte payload[4]{};
  const std::span<const std::byte> whole[] = {payload};
  ASSERT_FALSE(c.session->multicasts().multicast(whole, sizeof payload));
  c.service.set_flow_control(0);
  ASSERT_TRUE(c.session->progress(c.now()));
  c.run();
  EXPECT_EQ(c.log, log_lines{"writable"});
}

TEST(notice_call, only_completions_are_called_without_a_user_callback) {
  const callbacks none{};
  notices_case c;
  c.join();
  c.service.set_flow_control(1);
  const std::byte payload[4]{};
  const std::span<const std::byte> whole[] = {payload};
  ASSERT_FALSE(c.session->multicasts().multicast(whole, sizeof payload));
  c.service.set_flow_control(0);
  ASSERT_TRUE(c.session->progress(c.now()));
  c.multicast_confirmed("x");
  c.session->lose(error(errc::service_lost));
  std::vector<bool> has;
  for (const auto& one : c.session->notices) {
    has.push_back(has_callback(none, one));
  }
  EXPECT_EQ(has, (std::vector<bool>{false, true, false})) << "writable, the confirmation, the loss";
}

}  // namespace
