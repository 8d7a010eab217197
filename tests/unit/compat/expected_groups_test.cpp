// Which groups' first change a handle of the drop-in believes.
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

TEST(expected_groups, are_those_that_were_asked_for_and_each_once) {
  expected_groups groups;
  EXPECT_FALSE(groups.take("a"));
  groups.add(named("a"));
  EXPECT_FALSE(groups.take("b"));
  EXPECT_TRUE(groups.take("a"));
  EXPECT_FALSE(groups.take("a"));
}

TEST(expected_groups, come_in_the_order_in_which_they_were_asked_for) {
  expected_groups groups;
  for (const char* name : {"a", "b", "c"}) {
    groups.add(named(name));
  }
  EXPECT_TRUE(groups.take("a"));
  EXPECT_TRUE(groups.take("c"));
  EXPECT_FALSE(groups.take("b")) << "it was asked for before";
}

TEST(expected_groups, are_fewer_by_one_that_was_refused) {
  expected_groups groups;
  groups.drop_last();
  groups.add(named("a"));
  groups.add(named("b"));
  groups.drop_last();
  EXPECT_FALSE(groups.take("b"));
  EXPECT_TRUE(groups.take("a"));
}

TEST(expected_groups, are_compared_byte_by_byte) {
  expected_groups groups;
  groups.add(named(std::string("a\0b", 3)));
  EXPECT_FALSE(groups.take("a"));
  EXPECT_TRUE(groups.take(std::string_view("a\0b", 3)));
}

}  // namespace
