// Answers that come, come late, or never come.
#include "cpg/pending.hpp"

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace cpgring;
using namespace cpgring::cpg;

struct pending_requests : testing::Test {
  settle_function note(std::string name) {
    return [this, name = std::move(name)](const result<answer_bytes>& answer) {
      told.push_back(name + (answer ? " answered" : answer.error() == errc::timeout ? " timed out" : " failed"));
    };
  }
  static base::time_point at(int seconds) { return base::time_point(std::chrono::seconds(seconds)); }

  std::array<std::byte, 24> bytes{};
  answer_bytes answer{bytes};
  pending requests;
  std::vector<std::string> told;
};

TEST_F(pending_requests, are_settled_in_order_and_once) {
  const auto first = requests.add(at(10), note("first")), second = requests.add(at(10), note("second"));
  EXPECT_FALSE(requests.settle(second, answer)) << "the first is older";
  EXPECT_TRUE(requests.settle(first, answer));
  EXPECT_TRUE(requests.settle(second, answer));
  EXPECT_EQ(told, (std::vector<std::string>{"first answered", "second answered"}));
  EXPECT_TRUE(requests.empty());
}

TEST_F(pending_requests, keep_their_place_when_their_time_is_over) {
  const auto first = requests.add(at(10), note("first")), second = requests.add(at(20), note("second"));
  requests.expire(at(10));
  EXPECT_TRUE(requests.settle(first, answer));
  EXPECT_TRUE(requests.settle(second, answer));
  EXPECT_EQ(told, (std::vector<std::string>{"first timed out", "second answered"}));
}

TEST_F(pending_requests, tell_of_a_late_answer_whoever_wants_it) {
  const auto token = requests.add(at(10), note("it"), false, note("late"));
  requests.expire(at(10));
  requests.expire(at(1000));
  EXPECT_EQ(told, (std::vector<std::string>{"it timed out"}));
  EXPECT_TRUE(requests.settle(token, answer));
  EXPECT_EQ(told, (std::vector<std::string>{"it timed out", "late answered"}));
}

TEST_F(pending_requests, in_time_have_no_late_answer) {
  const auto token = requests.add(at(10), note("it"), false, note("late"));
  EXPECT_TRUE(requests.settle(token, answer));
  EXPECT_EQ(told, (std::vector<std::string>{"it answered"}));
}

TEST_F(pending_requests, fail_together_when_the_service_is_lost) {
  requests.add(at(10), note("expired"), false, note("late"));
  requests.expire(at(10));
  requests.add(at(20), note("open"), false, note("never"));
  requests.fail_all(error(errc::service_lost));
  EXPECT_EQ(told, (std::vector<std::string>{"expired timed out", "late failed", "open failed"}));
  EXPECT_TRUE(requests.empty());
}

}  // namespace
