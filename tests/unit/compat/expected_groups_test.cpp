// The groups whose first membership change a handle of the drop-in accepts: those it asked to join.
#include "compat/expected_groups.hpp"

#include <cstring>
#include <string>

#include <gtest/gtest.h>

namespace {

using namespace cpgring::compat;

cpg_name named(const std::string& text) {
  cpg_name name{};
  name.length = static_cast<std::uint32_t>(text.size());
  std::memcpy(name.value, text.data(), text.size());
  return name;
}

TEST(expected_groups, each_requested_group_is_accepted_once) {
  expected_groups groups;
  EXPECT_FALSE(groups.take("a"));
  groups.add(named("a"));
  EXPECT_FALSE(groups.take("b"));
  EXPECT_TRUE(groups.take("a"));
  EXPECT_FALSE(groups.take("a"));
}

TEST(expected_groups, a_group_drops_those_requested_before_it) {
  expected_groups groups;
  for (const char* name : {"a", "b", "c"}) {
    groups.add(named(name));
  }
  EXPECT_TRUE(groups.take("a"));
  EXPECT_TRUE(groups.take("c"));
  EXPECT_FALSE(groups.take("b")) << "b was requested before c";
}

TEST(expected_groups, drop_last_removes_a_refused_request) {
  expected_groups groups;
  groups.drop_last();
  groups.add(named("a"));
  groups.add(named("b"));
  groups.drop_last();
  EXPECT_FALSE(groups.take("b"));
  EXPECT_TRUE(groups.take("a"));
}

TEST(expected_groups, names_are_compared_bytewise) {
  expected_groups groups;
  groups.add(named(std::string("a\0b", 3)));
  EXPECT_FALSE(groups.take("a"));
  EXPECT_TRUE(groups.take(std::string_view("a\0b", 3)));
}

}  // namespace
