// Tasks run in order, one event each, within the budget of a turn.
#include "delivery/task_source.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

using cpgring::error;
using cpgring::delivery::task_source;

struct tasks_case {
  void add(std::uint64_t of, const std::string& name) {
    source.add(of, [this, name] { log.push_back(name); });
  }
  std::vector<std::string> log, failures;
  task_source source{[this](const error& why) { failures.push_back(why.message()); }};
};

TEST(task_source, runs_tasks_in_order_as_one_event_each) {
  tasks_case c;
  EXPECT_FALSE(c.source.waiting());
  c.add(0, "a");
  c.add(1, "b");
  c.add(0, "c");
  EXPECT_TRUE(c.source.waiting());
  auto done = c.source.turn({2, 1, 0});
  EXPECT_EQ(done.events, 2U);
  EXPECT_EQ(done.bytes, 0U);
  EXPECT_TRUE(done.more);
  done = c.source.turn({2, 1, 0});
  EXPECT_EQ(done.events, 1U);
  EXPECT_FALSE(done.more);
  EXPECT_EQ(c.log, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(c.source.empty());
}

TEST(task_source, runs_tasks_added_by_a_task_in_the_next_turn) {
  tasks_case c;
  c.source.add(0, [&c] { c.add(0, "added"); });
  const auto done = c.source.turn({100, 1, 0});
  EXPECT_EQ(done.events, 1U);
  EXPECT_TRUE(done.more);
  EXPECT_EQ(c.log.size(), 0U);
  c.source.turn({100, 1, 0});
  EXPECT_EQ(c.log.size(), 1U);
}

TEST(task_source, continues_after_a_throwing_task_and_reports_it) {
  tasks_case c;
  c.source.add(0, [] { throw std::runtime_error("why"); });
  c.add(0, "behind");
  EXPECT_EQ(c.source.turn({100, 1, 0}).events, 2U);
  EXPECT_EQ(c.log, std::vector<std::string>{"behind"});
  ASSERT_EQ(c.failures.size(), 1U);
  EXPECT_NE(c.failures[0].find("why"), std::string::npos);
}

TEST(task_source, runs_the_tasks_of_one_handle_in_order) {
  tasks_case c;
  c.add(1, "a");
  c.add(2, "b");
  c.add(2, "c");
  EXPECT_TRUE(c.source.has_any_of(2));
  EXPECT_FALSE(c.source.has_any_of(3));
  EXPECT_TRUE(c.source.run_one_of(2));
  EXPECT_EQ(c.log, std::vector<std::string>{"b"});
  EXPECT_TRUE(c.source.run_one_of(2));
  EXPECT_FALSE(c.source.run_one_of(2));
  EXPECT_FALSE(c.source.run_one_of(3));
  EXPECT_EQ(c.log, (std::vector<std::string>{"b", "c"}));
  EXPECT_TRUE(c.source.has_any_of(1));
}

TEST(task_source, clear_destroys_waiting_tasks) {
  tasks_case c;
  auto captured = std::make_shared<int>(0);
  c.source.add(0, [captured] {});
  EXPECT_EQ(captured.use_count(), 2);
  c.source.clear();
  EXPECT_EQ(captured.use_count(), 1);
  EXPECT_FALSE(c.source.waiting());
}

TEST(task_source, destroys_a_task_after_its_run_even_if_it_clears_the_source) {
  tasks_case c;
  auto captured = std::make_shared<int>(0);
  c.source.add(0, [&c, captured] {
    c.source.clear();
    EXPECT_EQ(captured.use_count(), 2) << "the task is still running";
  });
  c.add(0, "cleared");
  c.source.turn({100, 1, 0});
  EXPECT_EQ(captured.use_count(), 1);
  EXPECT_EQ(c.log.size(), 0U);
}

}  // namespace
