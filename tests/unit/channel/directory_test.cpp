// Names, numbers and members of channels.
#include <gtest/gtest.h>

#include "channel/directory.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::channel;

process at(std::uint32_t node, std::uint32_t pid) {
  process one;
  one.at = {node, pid};
  return one;
}

TEST(directory, gives_one_number_to_a_name_until_nobody_uses_it) {
  channel::directory d;
  const std::uint32_t a = d.use("a"), b = d.use("b");
  EXPECT_NE(a, b);
  EXPECT_EQ(d.use("a"), a);
  EXPECT_EQ(d.find("a"), a);
  d.release(a);
  EXPECT_EQ(d.find("a"), a);
  d.release(a);
  EXPECT_EQ(d.find("a"), no_channel);
  EXPECT_EQ(d.size(), 1U);
  EXPECT_EQ(d.use("c"), a) << "the number is used again";
  EXPECT_EQ(*d[a].name, "c");
}

TEST(directory, takes_any_bytes_as_a_name) {
  channel::directory d;
  const std::string with_nul("a\0b", 3);
  const std::uint32_t one = d.use(with_nul), other = d.use("a"), empty = d.use("");
  EXPECT_NE(one, other);
  EXPECT_EQ(d.find(with_nul), one);
  EXPECT_EQ(d.find(""), empty);
}

TEST(directory, sorts_the_members_of_a_channel_by_address) {
  channel::directory d;
  process third = at(2, 1), first = at(1, 1), second = at(1, 9);
  EXPECT_TRUE(d.bind(third, 0, "a"));
  EXPECT_TRUE(d.bind(first, 5, "a"));
  EXPECT_TRUE(d.bind(second, 2, "a"));
  const auto& members = d[d.find("a")].members;
  EXPECT_EQ(members, (std::vector<process*>{&first, &second, &third}));
  EXPECT_EQ(first.channel_of(5), d.find("a"));
  EXPECT_EQ(first.channel_of(4), no_channel);
  EXPECT_EQ(first.channel_of(alias_max), no_channel);
}

TEST(directory, refuses_a_bound_alias_and_a_second_alias_for_a_channel) {
  channel::directory d;
  process one = at(1, 1);
  EXPECT_TRUE(d.bind(one, 0, "a"));
  EXPECT_FALSE(d.bind(one, 0, "b"));
  EXPECT_FALSE(d.bind(one, 1, "a"));
  EXPECT_EQ(d.find("b"), no_channel);
  EXPECT_EQ(d[d.find("a")].users, 1U);
}

TEST(directory, keeps_an_unbound_channel_until_it_is_released) {
  channel::directory d;
  process one = at(1, 1);
  EXPECT_TRUE(d.bind(one, 3, "a"));
  const std::uint32_t channel = d.unbind(one, 3);
  EXPECT_EQ(channel, d.find("a"));
  EXPECT_TRUE(d[channel].members.empty());
  EXPECT_EQ(d.unbind(one, 3), no_channel);
  EXPECT_EQ(d.unbind(one, alias_max), no_channel);
  d.release(channel);
  EXPECT_EQ(d.size(), 0U);
}

}  // namespace
