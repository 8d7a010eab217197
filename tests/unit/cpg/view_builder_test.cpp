#include "cpg/view_builder.hpp"

#include <algorithm>
#include <set>
#include <span>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "cpg/encode.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::cpg;

struct who {
  std::uint32_t node, pid, reason;
};

/// The lists of a configuration event, and the decoded form that points into them.
struct change {
  change(const std::vector<who>& members, const std::vector<who>& left, const std::vector<who>& joined) {
    for (const auto* list : {&members, &left, &joined}) {
      for (const who& w : *list) {
        const std::size_t at = bytes.size();
        bytes.resize(at + wire::address_bytes);
        put(bytes.data() + at + wire::address_node, w.node);
        put(bytes.data() + at + wire::address_pid, w.pid);
        put(bytes.data() + at + wire::address_reason, w.reason);
      }
    }
    decoded.lists = bytes.data();
    decoded.members = static_cast<std::uint32_t>(members.size());
    decoded.left = static_cast<std::uint32_t>(left.size());
    decoded.joined = static_cast<std::uint32_t>(joined.size());
  }
  std::vector<std::byte> bytes;
  configuration decoded;
};

TEST(view_builder, numbers_views_from_one_and_sorts_members) {
  view_builder b;
  const change first({{2, 20, 0}, {1, 10, 0}}, {}, {{1, 10, 1}});
  const view& v = b.apply(first.decoded, "g");
  EXPECT_EQ(v.number, 1U);
  ASSERT_EQ(v.members.size(), 2U);
  EXPECT_EQ(v.members[0].node_id, 1U);
  EXPECT_EQ(v.joined[0].why, reason::join);
  EXPECT_EQ(v.group, "g");
}

TEST(view_builder, renews_an_incarnation_only_when_the_member_rejoins) {
  view_builder b;
  const change one({{1, 10, 0}, {1, 11, 0}}, {}, {{1, 11, 1}});
  const auto stay = b.apply(one.decoded, "g").members[0].incarnation;
  const auto before = b.current().members[1].incarnation;
  const change again({{1, 10, 0}, {1, 11, 0}}, {{1, 11, 3}}, {{1, 11, 4}});  // down and up in one event
  const view& v = b.apply(again.decoded, "g");
  EXPECT_EQ(v.members[0].incarnation, stay);
  EXPECT_NE(v.members[1].incarnation, before);
  EXPECT_EQ(v.left[0].incarnation, before);
  EXPECT_EQ(v.joined[0].incarnation, v.members[1].incarnation);
}

totem_configuration ring_of(std::vector<std::byte>& bytes, const std::vector<std::uint32_t>& nodes,
                            std::uint64_t sequence) {
  bytes.resize(nodes.size() * 4);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    put(bytes.data() + i * 4, nodes[i]);
  }
  totem_configuration ring;
  ring.ring = {nodes.empty() ? 0 : nodes.front(), sequence};
  ring.nodes = bytes.data();
  ring.count = static_cast<std::uint32_t>(nodes.size());
  return ring;
}

TEST(view_builder, shows_a_ring_change_with_unchanged_members) {
  view_builder b;
  const change one({{1, 10, 0}}, {}, {{1, 10, 1}});
  b.apply(one.decoded, "g");
  std::vector<std::byte> nodes;
  const view& v = b.apply(ring_of(nodes, {1, 3}, 44), "g");
  EXPECT_EQ(v.cause, view_cause::ring);
  EXPECT_EQ(v.number, 2U);
  EXPECT_EQ(v.members.size(), 1U);
  EXPECT_EQ(std::vector<std::uint32_t>(v.ring_nodes.begin(), v.ring_nodes.end()),
            (std::vector<std::uint32_t>{1, 3}));
  const change two({{1, 10, 0}, {1, 12, 0}}, {}, {{1, 12, 1}});
  const view& later = b.apply(two.decoded, "g");
  EXPECT_EQ(later.ring, (ring_id{1, 44}));
  EXPECT_EQ(later.cause, view_cause::membership);
  EXPECT_EQ(std::vector<std::uint32_t>(later.ring_nodes.begin(), later.ring_nodes.end()),
            (std::vector<std::uint32_t>{1, 3}));
}

TEST(view_builder, first_view_has_the_ring_nodes_if_the_ring_is_known) {
  view_builder b;
  std::vector<std::byte> nodes;
  b.note_ring(ring_of(nodes, {3, 1}, 44));
  const change own({{1, 10, 0}}, {}, {{1, 10, 1}});
  const view& first = b.apply(own.decoded, "g");
  EXPECT_EQ(first.number, 1U);
  EXPECT_EQ(first.ring, (ring_id{3, 44}));
  EXPECT_EQ(std::vector<std::uint32_t>(first.ring_nodes.begin(), first.ring_nodes.end()),
            (std::vector<std::uint32_t>{1, 3}));
}

TEST(view_builder, has_no_ring_nodes_before_the_ring_is_known) {
  view_builder b;
  const change own({{1, 10, 0}}, {}, {{1, 10, 1}});
  EXPECT_TRUE(b.apply(own.decoded, "g").ring_nodes.empty());
}

TEST(view_builder, has_no_limit_of_128_members) {
  std::vector<who> many;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    many.push_back({1, 5000 - i, 0});
  }
  const change all(many, {}, many);
  view_builder b;
  const view& v = b.apply(all.decoded, "g");
  EXPECT_EQ(v.members.size(), 1000U);
  EXPECT_TRUE(std::is_sorted(v.members.begin(), v.members.end(),
                             [](const member& x, const member& y) { return x.pid < y.pid; }));
}

std::vector<bool> in_ring(std::span<const member> members) {
  std::vector<bool> flags;
  for (const member& m : members) {
    flags.push_back(m.node_in_ring);
  }
  return flags;
}

TEST(view_builder, flags_members_whose_node_is_not_in_the_ring) {
  view_builder b;
  std::vector<std::byte> bytes;
  const change all({{1, 10, 0}, {2, 20, 0}, {3, 30, 0}}, {}, {{1, 10, 1}});
  EXPECT_EQ(in_ring(b.apply(all.decoded, "g").members), (std::vector{true, true, true}))
      << "no ring is known yet";
  const view& ring = b.apply(ring_of(bytes, {3, 1}, 8), "g");  // unsorted, as after a merge
  EXPECT_EQ(in_ring(ring.members), (std::vector{true, false, true}));
  const change gone({{1, 10, 0}, {3, 30, 0}}, {{2, 20, 3}}, {});
  const view& v = b.apply(gone.decoded, "g");
  EXPECT_EQ(in_ring(v.members), (std::vector{true, true}));
  EXPECT_EQ(in_ring(v.left), (std::vector{false}));
  b.note_ring(ring_of(bytes, {1}, 12));
  EXPECT_EQ(in_ring(b.current().members), (std::vector{true, false}));
  EXPECT_EQ(b.current().ring, (ring_id{1, 12}));
}

TEST(view_builder, keeps_duplicate_entries_of_the_service) {
  view_builder b;
  const change twice({{1, 10, 0}, {1, 10, 0}}, {{1, 9, 2}, {1, 9, 2}}, {{1, 10, 1}, {1, 10, 1}});
  const view& v = b.apply(twice.decoded, "g");
  EXPECT_EQ(v.members.size(), 2U);
  EXPECT_EQ(v.joined.size(), 2U);
  EXPECT_EQ(v.left.size(), 2U);
}

TEST(view_builder, merges_a_held_view_with_the_next) {
  view_builder b;
  std::vector<std::byte> bytes;
  const change first({{1, 10, 0}, {2, 20, 0}, {3, 30, 0}}, {}, {{1, 10, 1}});
  b.apply(first.decoded, "g");
  const auto old_20 = b.current().members[1].incarnation;
  b.apply(ring_of(bytes, {1}, 9), "g");
  b.hold();
  const change two_goes({{1, 10, 0}, {3, 30, 0}}, {{2, 20, 3}}, {});
  b.apply(two_goes.decoded, "g");
  b.hold();
  const change three_goes_four_comes({{1, 10, 0}, {4, 40, 0}}, {{3, 30, 3}}, {{4, 40, 1}});
  b.apply(three_goes_four_comes.decoded, "g");
  b.hold();
  const change four_goes_two_comes({{1, 10, 0}, {2, 20, 0}}, {{4, 40, 5}}, {{2, 20, 4}});
  const view& v = b.apply(four_goes_two_comes.decoded, "g");
  EXPECT_EQ(v.number, 2U);
  EXPECT_EQ(v.changes, 4U);
  EXPECT_EQ(v.cause, view_cause::membership);
  EXPECT_EQ(v.ring_nodes.size(), 1U);
  ASSERT_EQ(v.left.size(), 2U);
  EXPECT_EQ(v.left[0].pid, 20U);
  EXPECT_EQ(v.left[0].incarnation, old_20);
  EXPECT_EQ(v.left[1].pid, 30U);
  ASSERT_EQ(v.joined.size(), 1U) << "pid 40 joined and left within the merged view";
  EXPECT_EQ(v.joined[0].pid, 20U);
  EXPECT_NE(v.joined[0].incarnation, old_20);
  b.show();
  const change after({{1, 10, 0}}, {{2, 20, 2}}, {});
  EXPECT_EQ(b.apply(after.decoded, "g").number, 3U);
  EXPECT_EQ(b.current().changes, 1U);
  EXPECT_EQ(b.current().ring_nodes.size(), 1U) << "the ring is still known";
}

/// I4, with random merges.
RC_GTEST_PROP(view_builder, joined_and_left_turn_each_view_into_the_next, ()) {
  view_builder b;
  std::vector<who> members;
  std::set<std::uint64_t> seen;  // incarnations after the last view that was shown
  const auto steps =
      *rc::gen::container<std::vector<std::uint32_t>>(40, rc::gen::inRange<std::uint32_t>(0, 24));
  for (const std::uint32_t step : steps) {
    const std::uint32_t pid = 1 + step % 6;
    std::vector<who> left, joined;
    const auto there =
        std::find_if(members.begin(), members.end(), [pid](const who& w) { return w.pid == pid; });
    if (there != members.end()) {
      left.push_back({1, pid, 3});
      if (step < 18) {
        members.erase(there);
      } else {
        joined.push_back({1, pid, 4});  // down and up in one change
      }
    } else {
      joined.push_back({1, pid, 1});
      members.push_back({1, pid, 0});
    }
    const change c(members, left, joined);
    const view& v = b.apply(c.decoded, "g");
    if (step % 2 == 0) {
      b.hold();
      continue;
    }
    for (const member& m : v.left) {
      RC_ASSERT(seen.erase(m.incarnation) == 1);
    }
    for (const member& m : v.joined) {
      RC_ASSERT(seen.insert(m.incarnation).second);
    }
    std::set<std::uint64_t> now;
    for (const member& m : v.members) {
      now.insert(m.incarnation);
    }
    RC_ASSERT(now == seen);
  }
}

RC_GTEST_PROP(view_builder, incarnations_are_unique_among_members, ()) {
  view_builder b;
  std::vector<who> members;
  const auto steps =
      *rc::gen::container<std::vector<std::uint32_t>>(30, rc::gen::inRange<std::uint32_t>(1, 8));
  for (const std::uint32_t pid : steps) {
    const auto there =
        std::find_if(members.begin(), members.end(), [pid](const who& w) { return w.pid == pid; });
    std::vector<who> left, joined;
    if (there != members.end()) {
      left.push_back({1, pid, 2});
      members.erase(there);
    } else {
      joined.push_back({1, pid, 1});
      members.push_back({1, pid, 0});
    }
    const change c(members, left, joined);
    const view& v = b.apply(c.decoded, "g");
    std::vector<std::uint64_t> numbers;
    for (const member& m : v.members) {
      numbers.push_back(m.incarnation);
    }
    std::sort(numbers.begin(), numbers.end());
    RC_ASSERT(std::adjacent_find(numbers.begin(), numbers.end()) == numbers.end());
    RC_ASSERT(v.members.size() == members.size());
  }
}

}  // namespace
