// Log lines of a recurring cause: the first is written at once, the others are summed up once per period.
#include "base/limited_log.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace cpgring;
using namespace std::chrono_literals;

class limited_log : public ::testing::Test {
 protected:
  void refused(int uid) {
    log.say(log_level::warning, {"refused", fmt::format("clients of uid {}", uid)},
            fmt::format("refused uid {}", uid), now);
  }

  std::vector<std::string> lines;
  base::limited_log log{[this](log_level level, std::string_view text) {
                          lines.push_back(fmt::format("{}: {}", to_string(level), text));
                        },
                        10s};
  base::time_point now{};
};

TEST_F(limited_log, writes_the_first_line_of_a_cause_at_once_and_sums_up_the_others) {
  for (int i = 0; i < 26; ++i) {
    refused(7);
  }
  EXPECT_EQ(lines, std::vector<std::string>{"warning: refused uid 7"});
  EXPECT_EQ(log.due(), now + 10s);
  log.write_due_sums(now + 9s);
  EXPECT_EQ(lines.size(), 1U);
  log.write_due_sums(now + 10s);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines.back(), "warning: in the last 10 s refused 25 more clients of uid 7");
}

TEST_F(limited_log, a_continuing_cause_gets_one_line_per_period) {
  for (int second = 0; second < 100; ++second) {
    refused(7);
    now += 1s;
  }
  log.write_due_sums(now);
  EXPECT_EQ(lines.size(), 11U);
}

TEST_F(limited_log, a_cause_silent_for_a_period_counts_as_new) {
  refused(7);
  log.write_due_sums(now + 10s);
  EXPECT_FALSE(log.due());
  now += 11s;
  refused(7);
  EXPECT_EQ(lines, (std::vector<std::string>{"warning: refused uid 7", "warning: refused uid 7"}));
}

TEST_F(limited_log, finish_writes_all_pending_sums) {
  refused(1);
  refused(2);
  refused(2);
  log.finish();
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines.back(), "warning: in the last 10 s refused 1 more clients of uid 2");
  EXPECT_FALSE(log.due());
}

TEST_F(limited_log, causes_are_summed_up_separately) {
  refused(1);
  refused(2);
  refused(2);
  log.write_due_sums(now + 10s);
  EXPECT_EQ(lines, (std::vector<std::string>{"warning: refused uid 1", "warning: refused uid 2",
                                             "warning: in the last 10 s refused 1 more clients of uid 2"}));
}

TEST_F(limited_log, remembers_a_limited_number_of_causes) {
  for (int uid = 0; uid < 1000; ++uid) {
    refused(uid);
  }
  EXPECT_EQ(lines.size(), base::limited_log::causes_max + 1);
  log.write_due_sums(now + 10s);
  EXPECT_EQ(lines.back().find("warning: in the last 10 s 871 more lines of other causes"), 0U)
      << lines.back();
}

TEST_F(limited_log, lines_without_a_cause_are_never_suppressed) {
  log.say(log_level::info, "one");
  log.say(log_level::info, "one");
  EXPECT_EQ(lines.size(), 2U);
  EXPECT_FALSE(log.due());
}

TEST_F(limited_log, keeps_nothing_without_a_callback) {
  base::limited_log silent({}, 10s);
  silent.say(log_level::error, {"", "things"}, "a thing", now);
  silent.say(log_level::error, "a thing");
  EXPECT_FALSE(silent.due());
}

}  // namespace
