// The wrapper through which the library calls the user's log callback.
#include "base/guarded_log.hpp"

#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace cpgring;

base::log_failures no_failures() { return std::make_shared<std::atomic<std::uint64_t>>(0); }

TEST(guarded_log, stays_empty_for_an_empty_callback) {
  EXPECT_FALSE(base::guarded_log({}, log_level::debug, no_failures()));
}

TEST(guarded_log, passes_lines_at_or_above_its_level) {
  std::vector<std::string> lines;
  const auto log = base::guarded_log([&](log_level, std::string_view text) { lines.emplace_back(text); },
                                     log_level::warning, no_failures());
  log(log_level::debug, "debug");
  log(log_level::info, "info");
  log(log_level::warning, "warning");
  log(log_level::error, "error");
  EXPECT_EQ(lines, (std::vector<std::string>{"warning", "error"}));
}

TEST(guarded_log, counts_exceptions_of_the_callback) {
  const auto failures = no_failures();
  const auto log = base::guarded_log(
      [](log_level, std::string_view) { throw std::runtime_error("disk full"); }, log_level::info, failures);
  log(log_level::error, "one");
  log(log_level::debug, "not passed on");
  log(log_level::info, "two");
  EXPECT_EQ(failures->load(), 2U);
}

}  // namespace
