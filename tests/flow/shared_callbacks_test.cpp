// One callbacks object for many handles, and callbacks that own move-only objects.
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

class flow_shared_callbacks : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_shared_callbacks, ::testing::ValuesIn(backends_here()), backend_name);

TEST_P(flow_shared_callbacks, are_one_object_for_all_handles_and_are_given_the_handle) {
  world w(GetParam());
  auto calls = std::make_shared<callbacks>();
  std::set<std::uint64_t> heard, closed;
  std::size_t joined = 0;
  calls->on_message = [&](handle& h, const message&) { heard.insert(h.id()); };
  calls->on_state = [&](handle& h, const state_change& s) {
    joined += s.to == handle_state::joined ? 1 : 0;
    if (s.to == handle_state::closed) {
      closed.insert(h.id());
    }
  };
  constexpr std::size_t count = 50;
  std::vector<handle> all;
  for (std::size_t i = 0; i < count; ++i) {
    auto opened = w.loop().open(w.options(world::fresh_group()), calls);
    ASSERT_TRUE(opened);
    all.push_back(*opened);
  }
  EXPECT_EQ(static_cast<std::size_t>(calls.use_count()), count + 1) << "shared, not copied";
  const std::weak_ptr<callbacks> still_there = calls;
  calls.reset();
  ASSERT_TRUE(w.until([&] { return joined == count; }));
  for (handle& h : all) {
    ASSERT_TRUE(h.multicast("x"));
  }
  ASSERT_TRUE(w.until([&] { return heard.size() == count; }));
  for (handle& h : all) {
    h.close();
  }
  ASSERT_TRUE(w.until([&] { return closed.size() == count; }));
  all.clear();
  EXPECT_TRUE(w.until([&] { return still_there.expired(); }))
      << "the last handle to end releases the callbacks";
}

TEST_P(flow_shared_callbacks, may_be_null) {
  world w(GetParam());
  auto opened = w.loop().open(w.options(world::fresh_group()), std::shared_ptr<callbacks>());
  ASSERT_TRUE(opened);
  EXPECT_TRUE(w.until([&] { return opened->state() == handle_state::joined; }));
}

TEST_P(flow_shared_callbacks, and_completions_may_own_move_only_objects) {
  world w(GetParam());
  std::string reported;
  const auto says = [&reported](std::string what) {
    return [&reported, text = std::make_unique<std::string>(std::move(what))](auto&&...) {
      reported += *text + " ";
    };
  };
  callbacks calls;
  calls.on_message = says("message");
  auto opened = w.loop().open(w.options(), std::move(calls));
  ASSERT_TRUE(opened);
  ASSERT_TRUE(opened->join(world::fresh_group(), says("joined")));
  ASSERT_TRUE(w.until([&] { return reported == "joined "; })) << reported;
  ASSERT_TRUE(opened->multicast_confirmed("x", patience, says("confirmed")));
  ASSERT_TRUE(w.until([&] { return reported == "joined message confirmed "; })) << reported;
  ASSERT_TRUE(opened->query_local_node(says("asked")));
  ASSERT_TRUE(w.until([&] { return reported == "joined message confirmed asked "; })) << reported;
  ASSERT_TRUE(w.loop().post(says("posted")));
  ASSERT_TRUE(w.until([&] { return reported == "joined message confirmed asked posted "; })) << reported;
}

}  // namespace
}  // namespace cpgring::test
