// A completion runs exactly once: with its outcome, or with `stopped` if its request never gets one.
#include "delivery/completion_guard.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace cpgring;
using namespace cpgring::delivery;
using log_lines = std::vector<std::string>;

struct guard_case {
  completion<void> recorded() {
    return [this](const result<void>& r) { log.push_back(r ? "done" : r.error().code.message()); };
  }
  log_lines log;    // written by completions
  log_lines lines;  // written by the engine
  log_callback engine_log = [this](log_level, std::string_view text) { lines.emplace_back(text); };
};

std::string stopped() { return make_error_code(errc::stopped).message(); }

TEST(completion_guard, calls_once_with_the_first_outcome) {
  guard_case c;
  {
    completion_guard<result<void>> guard(c.engine_log, c.recorded());
    guard.call(result<void>());
    guard.call(result<void>(fail(errc::timeout)));
  }
  EXPECT_EQ(c.log, log_lines{"done"});
}

TEST(completion_guard, reports_stopped_if_destroyed_without_an_outcome) {
  guard_case c;
  { completion_guard<result<void>> guard(c.engine_log, c.recorded()); }
  EXPECT_EQ(c.log, log_lines{stopped()});
}

TEST(completion_guard, reports_a_multicast_without_an_outcome_as_not_sent) {
  guard_case c;
  {
    completion_guard<const multicast_outcome&> guard(c.engine_log, [&c](const multicast_outcome& o) {
      EXPECT_EQ(o.fate, multicast_fate::not_sent);
      ASSERT_TRUE(o.cause);
      c.log.push_back(o.cause->code.message());
    });
  }
  EXPECT_EQ(c.log, log_lines{stopped()});
}

TEST(completion_guard, calls_nothing_after_forget) {
  guard_case c;
  {
    completion_guard<result<void>> guard(c.engine_log, c.recorded());
    guard.forget();
  }
  EXPECT_EQ(c.log, log_lines{});
}

TEST(completion_guard, frees_its_slot_before_the_completion_runs) {
  guard_case c;
  const request_slots slots(1);
  auto slot = slots.take();
  ASSERT_TRUE(slot);
  ASSERT_FALSE(slots.take());
  completion_guard<result<void>> guard(
      c.engine_log,
      [&](const result<void>&) { EXPECT_TRUE(slots.take()) << "a completion may make the next request"; },
      std::move(slot));
  EXPECT_FALSE(slots.take());
  guard.call(result<void>());
  EXPECT_TRUE(slots.take());
}

TEST(completion_guard, frees_its_slot_when_destroyed) {
  guard_case c;
  const request_slots slots(1);
  {
    completion_guard<result<void>> guard(c.engine_log, c.recorded(), slots.take());
    guard.forget();
    EXPECT_FALSE(slots.take());
  }
  EXPECT_TRUE(slots.take());
}

TEST(completion_guard, logs_an_exception_of_a_completion_run_by_its_destructor) {
  guard_case c;
  {
    completion_guard<result<void>> guard(c.engine_log,
                                         [](const result<void>&) { throw std::runtime_error("why"); });
  }
  ASSERT_EQ(c.lines.size(), 1U);
  EXPECT_NE(c.lines[0].find("why"), std::string::npos);
}

TEST(request_slots, bound_outstanding_requests_and_may_be_outlived_by_a_slot) {
  request_slots::slot kept;
  {
    const request_slots slots(2);
    auto first = slots.take(), second = slots.take();
    EXPECT_TRUE(first);
    EXPECT_TRUE(second);
    EXPECT_FALSE(slots.take());
    first = {};
    EXPECT_TRUE(slots.take());
    kept = std::move(second);
  }
  EXPECT_TRUE(kept) << "a slot may outlive its request_slots";
}

}  // namespace
