#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "testing/crowd.hpp"

namespace cpgring::testing {
namespace {

using who = std::pair<std::uint32_t, std::uint32_t>;

std::set<who> set_of(const std::vector<simulated_member>& list) {
  std::set<who> all;
  for (const simulated_member& one : list) {
    all.emplace(one.node_id, one.pid);
  }
  EXPECT_EQ(all.size(), list.size()) << "duplicate member";
  return all;
}

/// Applies a view to a model of the members; fails if it does not match.
void follow(std::set<who>& model, const crowds::move& m) {
  for (const who& one : set_of(m.left)) {
    RC_ASSERT(model.erase(one) == 1U);
  }
  for (const who& one : set_of(m.joined)) {
    RC_ASSERT(model.insert(one).second);
  }
}

RC_GTEST_PROP(crowds, views_add_up_to_the_members, (std::uint64_t seed)) {
  const auto node = *rc::gen::elementOf(std::vector<std::uint32_t>{1, 7, UINT32_MAX});
  const auto size = *rc::gen::inRange(1U, 30U);
  crowds c(node, size);
  std::set<who> model;
  draws random(seed);
  for (int i = 0; i < 60; ++i) {
    const bool nobody = c.groups().empty();
    c.advance("g", draws(random.next()), [&](const crowds::move& m) {
      RC_ASSERT(!m.joined.empty() || !m.left.empty() || m.ring_changes);
      follow(model, m);
      RC_ASSERT(m.ring_changes == (nobody || c.groups().empty()));
    });
    const auto& members = c.in("g");
    RC_ASSERT(set_of(members) == model);
    RC_ASSERT(std::is_sorted(members.begin(), members.end(),
                             [](const simulated_member& a, const simulated_member& b) {
                               return who(a.node_id, a.pid) < who(b.node_id, b.pid);
                             }));
    const auto nodes = c.nodes();
    for (const simulated_member& one : members) {
      RC_ASSERT(one.node_id != 0U);
      RC_ASSERT(one.node_id != node);
      RC_ASSERT(std::count(nodes.begin(), nodes.end(), one.node_id) == 1);
    }
  }
  follow(model, c.depart("g"));
  RC_ASSERT(model.empty());
  RC_ASSERT(c.nodes().empty());
}

TEST(crowds, have_disjoint_nodes_and_exist_in_at_most_forty_groups) {
  crowds c(1, 400);
  std::size_t arrived = 0;
  for (int i = 0; i < 50; ++i) {
    c.advance("g" + std::to_string(i), draws(1), [&](const crowds::move&) { ++arrived; });
  }
  EXPECT_EQ(arrived, 40U);
  const auto nodes = c.nodes();
  EXPECT_EQ(std::set<std::uint32_t>(nodes.begin(), nodes.end()).size(), 320U);
  static_cast<void>(c.depart("g3"));
  c.advance("another", draws(1), [&](const crowds::move& m) { arrived += m.joined.size(); });
  EXPECT_EQ(arrived, 440U);
  EXPECT_EQ(c.nodes(), nodes) << "the new crowd takes the nodes of the departed one";
}

}  // namespace
}  // namespace cpgring::testing
