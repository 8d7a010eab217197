// Names that differ between two nodes even for equal pids.
#include "cli/unique_name.hpp"

#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

namespace cpgring::cli {
namespace {

TEST(unique_name, differs_at_each_call_in_one_process) {
  const auto start = "load-" + std::to_string(::getpid()) + "-";
  const auto one = unique_name("load"), other = unique_name("load");
  EXPECT_TRUE(one.starts_with(start)) << one;
  EXPECT_EQ(one.size(), start.size() + 16);
  EXPECT_NE(one, other);
}

}  // namespace
}  // namespace cpgring::cli
