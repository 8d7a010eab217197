#include "base/thread_usage.hpp"

#include <thread>

#include <gtest/gtest.h>

namespace cpgring::base {
namespace {

TEST(stolen_ticks, are_the_eighth_number) {
  EXPECT_EQ(stolen_ticks("cpu  1 2 3 4 5 6 7 88 9 10\ncpu0 1 2 3 4 5 6 7 8\n"), 88U);
}

TEST(stolen_ticks, are_empty_for_any_other_text) {
  for (const char* text :
       {"", "cpu", "cpu ", "cpu  1 2 3 4 5 6 7", "cpu0 1 2 3 4 5 6 7 8", "cpu  1 2 x 4 5 6 7 8"}) {
    EXPECT_FALSE(stolen_ticks(text)) << text;
  }
}

TEST(thread_usage, counts_the_calling_thread_alone) {
  const auto before = usage_of_this_thread(true);
  ASSERT_TRUE(before.stolen) << "/proc/stat";
  std::thread([] {
    while (thread_cpu_time() < std::chrono::milliseconds(20)) {
    }
  }).join();
  const auto between = usage_of_this_thread(false);
  EXPECT_FALSE(between.stolen);
  EXPECT_LT(between.cpu - before.cpu, std::chrono::milliseconds(20));
  while (thread_cpu_time() - between.cpu < std::chrono::milliseconds(5)) {
  }
  EXPECT_GE(usage_of_this_thread(false).cpu - between.cpu, std::chrono::milliseconds(5));
}

}  // namespace
}  // namespace cpgring::base
