// handle_options::coalesce_views: consecutive view changes that wait in the ring become one view, but never
// across a message or the handle's own join and leave.
#include <mutex>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;

struct flow_coalesced_views : ::testing::TestWithParam<std::tuple<wakeup, std::uint32_t>> {
  world w{std::get<0>(GetParam()), [](engine_options& o) { o.workers = std::get<1>(GetParam()); }};
  engine others;  // acts while w's engine is not driven
  std::string group = world::fresh_group("cascade");
  std::mutex lock;
  std::vector<std::string> heard;
  handle h;

  void open(bool coalesce) {
    auto options = w.options(group);
    cpgring::testing::simulate_pid(options, 100);
    options.coalesce_views = coalesce;
    callbacks c;
    c.on_view = [this](handle&, const view& v) {
      const std::lock_guard guard(lock);
      std::string line = fmt::format("{} members", v.members.size());
      for (const auto& m : v.left) {
        line += fmt::format(" -{}", m.pid);
      }
      for (const auto& m : v.joined) {
        line += fmt::format(" +{}", m.pid);
      }
      heard.push_back(line + fmt::format(" changes {}", v.changes));
      EXPECT_TRUE(v.members.front().node_in_ring);
    };
    c.on_message = [this](handle&, const message& m) {
      const std::lock_guard guard(lock);
      heard.emplace_back(m.text());
    };
    auto opened = w.loop().open(options, std::move(c));
    ASSERT_TRUE(opened);
    h = *opened;
    ASSERT_TRUE(w.until([this] { return h.state() == handle_state::joined; }));
    // The first ring event may come before or after the own join.
    static_cast<void>(w.loop().dispatch(mode::all));
    const std::lock_guard guard(lock);
    heard.clear();
  }
  handle other(std::uint32_t pid) {
    auto options = w.options(group);
    cpgring::testing::simulate_pid(options, pid);
    auto opened = others.open(options, {});
    EXPECT_TRUE(opened);
    EXPECT_TRUE(meanwhile([&] { return opened->state() == handle_state::joined; }));
    return *opened;
  }
  bool meanwhile(const std::function<bool()>& condition) { return drive(others, condition); }
  void leaves(handle& who) {
    bool done = false;
    ASSERT_TRUE(who.leave([&](const result<void>&) { done = true; }));
    ASSERT_TRUE(meanwhile([&] { return done; }));
  }
  std::vector<std::string> after(const std::string& last) {
    EXPECT_TRUE(w.until([&] {
      const std::lock_guard guard(lock);
      return !heard.empty() && heard.back() == last;
    }));
    const std::lock_guard guard(lock);
    return heard;
  }
};
INSTANTIATE_TEST_SUITE_P(on, flow_coalesced_views,
                         ::testing::Combine(::testing::ValuesIn(backends_here()), ::testing::Values(0U, 2U)),
                         [](const ::testing::TestParamInfo<std::tuple<wakeup, std::uint32_t>>& info) {
                           return fmt::format("{}_workers_{}", to_string(std::get<0>(info.param)),
                                              std::get<1>(info.param));
                         });

TEST_P(flow_coalesced_views, a_cascade_is_one_view_between_messages) {
  open(true);
  auto b = other(201), c = other(202);
  leaves(b);
  ASSERT_TRUE(c.multicast("first"));
  auto d = other(203), e = other(204);
  leaves(c);
  ASSERT_TRUE(e.multicast("second"));
  ASSERT_TRUE(meanwhile([&] { return e.stats().messages != 0 || e.stats().multicasts != 0; }));
  EXPECT_EQ(after("second"), (std::vector<std::string>{"2 members +202 changes 3", "first",
                                                       "3 members -202 +203 +204 changes 3", "second"}));
}

TEST_P(flow_coalesced_views, each_change_is_a_view_without_the_option) {
  open(false);
  auto b = other(201), c = other(202);
  leaves(b);
  ASSERT_TRUE(c.multicast("end"));
  EXPECT_EQ(after("end"), (std::vector<std::string>{"2 members +201 changes 1", "3 members +202 changes 1",
                                                    "2 members -201 changes 1", "end"}));
}

TEST_P(flow_coalesced_views, the_own_leave_is_the_last_change_of_its_view) {
  open(true);
  auto b = other(201);
  bool done = false;
  ASSERT_TRUE(h.leave([&](const result<void>&) { done = true; }));
  ASSERT_TRUE(w.until([&] { return done; }));
  const std::lock_guard guard(lock);
  // The leave may be answered before or after the other member's join is handled.
  const std::vector<std::string> together = {"1 members -100 +201 changes 2"},
                                 apart = {"2 members +201 changes 1", "1 members -100 changes 1"};
  EXPECT_TRUE(heard == together || heard == apart) << ::testing::PrintToString(heard);
  EXPECT_EQ(h.state(), handle_state::left);
}

}  // namespace
}  // namespace cpgring::test
