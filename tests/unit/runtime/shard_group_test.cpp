// State shared by the reactors of one engine: which services are present, and the memory of all rings.
#include <gtest/gtest.h>

#include "runtime/shard_group.hpp"

namespace {

using cpgring::runtime::shard_group;

TEST(shard_group, reports_each_loss_and_return_of_a_service_once) {
  shard_group all;
  const auto first = all.service_up("a");
  EXPECT_FALSE(first.news) << "never reported as gone";
  EXPECT_TRUE(all.service_gone("a", first.life));
  EXPECT_FALSE(all.service_gone("a", first.life)) << "the loss of another handle is no news";
  EXPECT_TRUE(all.service_up("a").news);
  EXPECT_FALSE(all.service_up("a").news);
}

TEST(shard_group, ignores_a_loss_from_before_the_return) {
  shard_group all;
  const auto before = all.service_up("a").life;
  EXPECT_TRUE(all.service_gone("a", before));
  const auto after = all.service_up("a").life;
  EXPECT_NE(before, after);
  EXPECT_FALSE(all.service_gone("a", before));
  EXPECT_FALSE(all.service_up("a").news);
  EXPECT_TRUE(all.service_gone("a", after));
}

TEST(shard_group, tracks_each_service_separately) {
  shard_group all;
  EXPECT_TRUE(all.service_gone("a", all.service_up("a").life));
  EXPECT_FALSE(all.service_up("b").news);
}

TEST(shard_group, reports_once_that_rings_exceed_the_room) {
  shard_group all;
  ASSERT_NE(all.ring_room(), 0U);
  EXPECT_FALSE(all.add_rings(all.ring_room()));
  EXPECT_TRUE(all.add_rings(1));
  EXPECT_FALSE(all.add_rings(1));
  all.remove_rings(2);
  EXPECT_EQ(all.ring_bytes(), all.ring_room());
}

}  // namespace
