// supervision.queue_bytes of a handle that has not joined yet, without reconnect.
// tests/unit/runtime/handle_core_test.cpp has the limit and the deadlines.
#include <chrono>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class flow_queue_until_joined : public ::testing::TestWithParam<wakeup> {
 protected:
  /// Opens a handle that keeps up to `bytes`. An empty `group`: it does not join.
  void open(world& w, std::size_t bytes, const std::string& group,
            std::chrono::milliseconds control_deadline = patience) {
    auto o = w.options(group);
    o.control_deadline = control_deadline;
    o.supervision.queue_bytes = bytes;
    callbacks calls;
    calls.on_message = [this](handle&, const message& m) { heard.emplace_back(m.text()); };
    calls.on_state = [this](handle&, const state_change& s) { heard.emplace_back(to_string(s.to)); };
    auto opened = w.loop().open(o, std::move(calls));
    ASSERT_TRUE(opened);
    self = *opened;
  }
  confirmation outcome(const std::string& name) {
    return [this, name](const multicast_outcome& o) {
      heard.push_back(name + " " + std::string(to_string(o.fate)) +
                      (o.cause ? ": " + o.cause->message() : ""));
    };
  }

  handle self;
  std::vector<std::string> heard;
};
INSTANTIATE_TEST_SUITE_P(backend, flow_queue_until_joined, ::testing::ValuesIn(backends_here()),
                         backend_name);

TEST_P(flow_queue_until_joined, sends_multicasts_made_before_the_engine_was_driven_in_order) {
  world w(GetParam());
  open(w, 1000, world::fresh_group());
  ASSERT_TRUE(self.multicast("1"));
  ASSERT_TRUE(self.multicast_confirmed("2", patience, outcome("2")));
  ASSERT_TRUE(self.multicast("3"));
  ASSERT_TRUE(w.until([&] { return !heard.empty() && heard.back() == "3"; }));
  EXPECT_THAT(heard, ElementsAre("ready", "joining", "joined", "1", "2", "2 confirmed", "3"));
}

TEST_P(flow_queue_until_joined, uses_control_deadline_by_default) {
  world w(GetParam());
  open(w, 1000, "", 50ms);
  ASSERT_TRUE(self.multicast_confirmed("late", outcome("late")));
  ASSERT_TRUE(w.until([&] { return !heard.empty() && heard.back().starts_with("late"); }));
  EXPECT_THAT(heard.back(), HasSubstr("had not joined before the deadline"));
}

TEST_P(flow_queue_until_joined, reports_not_sent_when_the_handle_is_closed) {
  world w(GetParam());
  open(w, 1000, "");
  ASSERT_TRUE(w.until([&] { return self.state() == handle_state::ready; }));
  ASSERT_TRUE(self.multicast("never"));
  ASSERT_TRUE(self.multicast_confirmed("c", patience, outcome("c")));
  self.close();
  ASSERT_TRUE(w.until([&] { return !heard.empty() && heard.back() == "closed"; }));
  ASSERT_EQ(heard.size(), 3U);
  EXPECT_THAT(heard[1], HasSubstr("c not sent"));
}

}  // namespace
}  // namespace cpgring::test
