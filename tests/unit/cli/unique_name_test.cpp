// Names that two nodes with the same pid do not share.
#include "cli/unique_name.hpp"

#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

namespace cpgring::cli {
namespace {

TEST(unique_name, is_another_one_each_time_whatever_the_pid) {
  const auto start = "load-" + std::to_string(::getpid()) + "-";
  const auto one = unique_name("load"), other = unique_name("load");
  EXPECT_TRUE(one.starts_with(start)) << one;
  EXPECT_EQ(one.size(), start.size() + 16);
  EXPECT_NE(one, other);
}

}  // namespace
}  // namespace cpgring::cli
