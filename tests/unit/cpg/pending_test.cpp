// Requests whose answers arrive in time, late, or never.
#include "cpg/pending.hpp"

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace cpgring;
using namespace cpgring::cpg;

struct pending_requests : ::testing::Test {
  answer_function note(std::string name) {
    return [this, name = std::move(name)](const result<answer_bytes>& answer) {
      outcomes.push_back(name + (answer                            ? " answered"
                                 : answer.error() == errc::timeout ? " timed out"
                                                                   : " failed"));
    };
  }
  static base::time_point at(int seconds) { return base::time_point(std::chrono::seconds(seconds)); }

  std::array<std::byte, 24> bytes{};
  answer_bytes answer{bytes};
  pending requests;
  std::vector<std::string> outcomes;
};

TEST_F(pending_requests, are_completed_in_order_and_once) {
  const auto first = requests.add(at(10), note("first")), second = requests.add(at(10), note("second"));
  EXPECT_FALSE(requests.complete(second, answer)) << "answers arrive in request order, so the first is due";
  EXPECT_TRUE(requests.complete(first, answer));
  EXPECT_TRUE(requests.complete(second, answer));
  EXPECT_EQ(outcomes, (std::vector<std::string>{"first answered", "second answered"}));
  EXPECT_TRUE(requests.empty());
}

TEST_F(pending_requests, keep_their_position_after_their_deadline) {
  const auto first = requests.add(at(10), note("first")), second = requests.add(at(20), note("second"));
  requests.expire(at(10));
  EXPECT_TRUE(requests.complete(first, answer));
  EXPECT_TRUE(requests.complete(second, answer));
  EXPECT_EQ(outcomes, (std::vector<std::string>{"first timed out", "second answered"}));
}

TEST_F(pending_requests, pass_a_late_answer_to_its_own_completion) {
  const auto token = requests.add(at(10), note("it"), false, note("late"));
  requests.expire(at(10));
  requests.expire(at(1000));
  EXPECT_EQ(outcomes, (std::vector<std::string>{"it timed out"}));
  EXPECT_TRUE(requests.complete(token, answer));
  EXPECT_EQ(outcomes, (std::vector<std::string>{"it timed out", "late answered"}));
}

TEST_F(pending_requests, answered_in_time_call_no_late_completion) {
  const auto token = requests.add(at(10), note("it"), false, note("late"));
  EXPECT_TRUE(requests.complete(token, answer));
  EXPECT_EQ(outcomes, (std::vector<std::string>{"it answered"}));
}

TEST_F(pending_requests, fail_together_when_the_service_is_lost) {
  requests.add(at(10), note("expired"), false, note("late"));
  requests.expire(at(10));
  requests.add(at(20), note("open"), false, note("never"));
  requests.fail_all(error(errc::service_lost));
  EXPECT_EQ(outcomes, (std::vector<std::string>{"expired timed out", "late failed", "open failed"}));
  EXPECT_TRUE(requests.empty());
}

}  // namespace
