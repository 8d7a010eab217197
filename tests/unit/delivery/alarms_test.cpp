// Scheduled tasks: when and how often they run, and when a cancelled task is freed.
#include "delivery/alarms.hpp"

#include <chrono>
#include <deque>
#include <memory>
#include <stdexcept>
#include <utility>

#include <gtest/gtest.h>

#include "dispatch/deliver.hpp"
#include "support/manual_clock.hpp"

namespace {

using namespace cpgring;
using cpgring::delivery::alarm_state;
using cpgring::delivery::alarms;
using cpgring::delivery::unscheduled;
using std::chrono::milliseconds;

/// A reactor with a manual clock. Due tasks are queued until the test runs them.
struct alarms_case {
  alarms_case() {
    reactor::reactor_options o;
    o.backend = wakeup::epoll;
    o.clock = &time;
    loop = std::move(reactor::reactor::create(std::move(o)).value());
  }
  ~alarms_case() {
    loop.reset();
    all.forget_all();
  }
  std::shared_ptr<alarm_state> add(milliseconds after, milliseconds every, function<void()> task) {
    auto state = std::make_shared<alarm_state>();
    state->task = std::move(task);
    all.add(*loop, state, clock.read() + after, every);
    return state;
  }
  std::shared_ptr<alarm_state> count(milliseconds after, milliseconds every = milliseconds(0)) {
    return add(after, every, [this] { ++runs; });
  }
  /// Advances the clock and lets the reactor run its timers; returns the number of due tasks.
  std::size_t pass(milliseconds span) {
    clock.advance(span);
    loop->reap();
    return due.size();
  }
  void run_due() {
    while (!due.empty()) {
      auto one = std::move(due.front());
      due.pop_front();
      static_cast<void>(dispatch::deliver(one));
    }
  }

  cpgring::test::manual_clock clock;
  base::shard_clock time{&cpgring::test::manual_clock::read};
  std::unique_ptr<reactor::reactor> loop;
  std::deque<function<void()>> due;
  alarms all{[this](function<void()> task) { due.push_back(std::move(task)); }};
  int runs = 0;
};

TEST(alarms, runs_once_at_its_time) {
  alarms_case c;
  const auto state = c.count(milliseconds(10));
  EXPECT_EQ(c.pass(milliseconds(9)), 0U);
  EXPECT_EQ(c.pass(milliseconds(1)), 1U);
  EXPECT_TRUE(c.all.empty());
  c.run_due();
  EXPECT_EQ(c.runs, 1);
  EXPECT_EQ(c.pass(milliseconds(1000)), 0U);
  EXPECT_EQ(state->task, nullptr) << "its captures are freed";
}

TEST(alarms, repeats_until_it_is_removed) {
  alarms_case c;
  const auto state = c.count(milliseconds(10), milliseconds(10));
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(c.pass(milliseconds(10)), 1U);
    c.run_due();
    EXPECT_EQ(c.runs, i);
  }
  c.all.remove(state);
  EXPECT_TRUE(c.all.empty());
  EXPECT_EQ(c.pass(milliseconds(100)), 0U);
  EXPECT_EQ(state->task, nullptr);
}

TEST(alarms, runs_once_for_all_missed_intervals_and_keeps_its_schedule) {
  alarms_case c;
  c.count(milliseconds(10), milliseconds(10));
  EXPECT_EQ(c.pass(milliseconds(45)), 1U);
  c.run_due();
  EXPECT_EQ(c.pass(milliseconds(4)), 0U);
  EXPECT_EQ(c.pass(milliseconds(1)), 1U) << "due at 50 ms";
}

TEST(alarms, is_queued_at_most_once) {
  alarms_case c;
  c.count(milliseconds(10), milliseconds(10));
  c.pass(milliseconds(10));
  EXPECT_EQ(c.pass(milliseconds(10)), 1U) << "the first run is still queued";
  c.run_due();
  EXPECT_EQ(c.runs, 1);
  EXPECT_EQ(c.pass(milliseconds(10)), 1U);
}

TEST(alarms, does_not_run_if_cancelled_while_queued) {
  alarms_case c;
  const auto state = c.count(milliseconds(10));
  c.pass(milliseconds(10));
  state->cancelled = true;
  c.run_due();
  EXPECT_EQ(c.runs, 0);
}

TEST(alarms, a_cancelled_alarm_is_removed_when_due) {
  alarms_case c;
  const auto state = c.count(milliseconds(10), milliseconds(10));
  state->cancelled = true;
  c.pass(milliseconds(10));
  EXPECT_TRUE(c.all.empty());
  c.run_due();
  EXPECT_EQ(c.runs, 0);
}

TEST(alarms, a_task_that_removes_itself_is_freed_after_its_run) {
  alarms_case c;
  auto captured = std::make_shared<int>(0);
  std::shared_ptr<alarm_state> state;
  state = c.add(milliseconds(10), milliseconds(10), [&c, &state, captured] {
    state->cancelled = true;
    c.all.remove(state);
    EXPECT_EQ(captured.use_count(), 2);
    ++c.runs;
  });
  c.pass(milliseconds(10));
  c.run_due();
  EXPECT_EQ(c.runs, 1);
  EXPECT_EQ(captured.use_count(), 1);
  EXPECT_EQ(c.pass(milliseconds(100)), 0U);
}

TEST(alarms, captures_of_a_throwing_task_are_freed_after_its_last_run_only) {
  alarms_case c;
  auto captured = std::make_shared<int>(0);
  c.add(milliseconds(10), milliseconds(10), [captured] { throw std::runtime_error("again"); });
  c.pass(milliseconds(10));
  c.run_due();
  EXPECT_EQ(captured.use_count(), 2) << "the task repeats";
  auto once = std::make_shared<int>(0);
  c.add(milliseconds(5), milliseconds(0), [once] { throw std::runtime_error("once"); });
  c.pass(milliseconds(10));
  c.run_due();
  EXPECT_EQ(once.use_count(), 1);
}

TEST(alarms, frees_all_tasks_when_the_loop_ends) {
  alarms_case c;
  auto captured = std::make_shared<int>(0);
  const auto state = c.add(milliseconds(10), milliseconds(0), [captured] {});
  c.loop.reset();
  c.all.forget_all();
  EXPECT_TRUE(c.all.empty());
  EXPECT_EQ(captured.use_count(), 1) << "although the state still exists";
}

TEST(unscheduled, frees_its_task_if_it_never_reaches_the_loop) {
  auto captured = std::make_shared<int>(0);
  auto state = std::make_shared<alarm_state>();
  state->task = [captured] {};
  {
    unscheduled lost(state);
    unscheduled moved(std::move(lost));
    EXPECT_EQ(captured.use_count(), 2);
  }
  EXPECT_EQ(captured.use_count(), 1);
  state->task = [captured] {};
  {
    unscheduled arrives(state);
    EXPECT_FALSE(arrives.cancelled());
    EXPECT_EQ(arrives.take(), state);
  }
  EXPECT_EQ(captured.use_count(), 2);
}

}  // namespace
