// Dispatch modes and budgets on the engine and on one handle; threads, stop and foreign loops.
// tests/unit/runtime/shard_test.cpp has one, one_nonblocking and the bound of all.
#include <poll.h>

#include <atomic>
#include <thread>

#include <fmt/format.h>

#include "support/filler.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

class flow_mode : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_mode, ::testing::ValuesIn(backends_here()), backend_name);

/// A joined handle on an engine of its own.
struct stage {
  explicit stage(wakeup backend, std::function<void(engine_options&)> adjust = {})
      : w(backend, std::move(adjust)) {
    open_joined(w, a, name);
  }
  /// Takes all events that joining brought.
  void quiet() {
    while (w.loop().dispatch(mode::one_nonblocking)) {
    }
  }
  world w;
  witness a;
  std::string name = world::fresh_group();
};

TEST_P(flow_mode, one_blocks_until_something_comes) {
  stage s(GetParam());
  s.quiet();
  std::atomic<bool> sent{false};
  std::thread later([&] {
    sent = true;
    EXPECT_TRUE(s.a.self.multicast("late"));
  });
  auto did = s.w.loop().dispatch(mode::one);
  EXPECT_TRUE(sent);
  later.join();
  ASSERT_TRUE(did);
  EXPECT_EQ(did->events, 1U);
  EXPECT_EQ(s.a.messages.size(), 1U);
}

TEST_P(flow_mode, all_takes_waiting_events_and_does_not_block) {
  stage s(GetParam());
  filler f(s.w, s.a, s.name);
  s.quiet();
  EXPECT_EQ(s.w.loop().dispatch(mode::all)->events, 0U);
  f.fill(100);
  auto did = s.w.loop().dispatch(mode::all);
  ASSERT_TRUE(did);
  EXPECT_EQ(did->events, 100U);
  EXPECT_FALSE(did->more);
  EXPECT_EQ(s.w.loop().dispatch(mode::all)->events, 0U);
}

TEST_P(flow_mode, budgets_end_a_call_and_say_that_more_waits) {
  stage s(GetParam());
  filler f(s.w, s.a, s.name);
  s.quiet();
  f.fill(60, "b", 100);
  auto did = s.w.loop().dispatch(mode::blocking, budget{7, 0, {}});
  ASSERT_TRUE(did);
  EXPECT_EQ(did->events, 7U);
  EXPECT_EQ(did->bytes, 700U);
  EXPECT_TRUE(did->more);
  did = s.w.loop().dispatch(mode::all, budget{0, 1000, {}});
  ASSERT_TRUE(did);
  EXPECT_EQ(did->bytes, 1000U);
  EXPECT_TRUE(did->more);
  did = s.w.loop().dispatch(mode::all, budget{0, 50, {}});
  ASSERT_TRUE(did);
  EXPECT_EQ(did->events, 1U) << "at least one event is taken, however small the budget";
  did = s.w.loop().dispatch(mode::blocking, budget{0, 0, std::chrono::milliseconds(1)});
  ASSERT_TRUE(did);
  did = s.w.loop().dispatch(mode::all);
  ASSERT_TRUE(did);
  EXPECT_EQ(s.a.messages.size(), 60U);
  EXPECT_FALSE(did->more);
}

TEST_P(flow_mode, dispatch_on_one_handle_runs_only_its_events) {
  stage s(GetParam());
  witness b;
  const auto other = world::fresh_group();
  open_joined(s.w, b, other);
  filler fa(s.w, s.a, s.name, made_up_pid + 4711), fb(s.w, b, other, made_up_pid + 4712);
  s.quiet();
  fa.fill(20);
  fb.fill(20);
  EXPECT_EQ(b.self.dispatch(mode::one)->events, 1U);
  EXPECT_EQ(b.self.dispatch(mode::one_nonblocking)->events, 1U);
  EXPECT_EQ(b.self.dispatch(mode::all)->events, 18U);
  EXPECT_EQ(b.self.dispatch(mode::one_nonblocking).error(), errc::try_again);
  EXPECT_EQ(s.a.messages.size(), 0U);
  EXPECT_EQ(b.messages.size(), 20U);
  std::thread later([&] { EXPECT_TRUE(b.self.multicast("late")); });
  EXPECT_EQ(b.self.dispatch(mode::one)->events, 1U)
      << "blocks for an event of this handle although the other has some";
  later.join();
  EXPECT_EQ(b.messages.back(), "late");
  EXPECT_EQ(s.a.messages.size(), 0U);
  EXPECT_EQ(s.w.loop().dispatch(mode::all)->events, 20U);
}

TEST_P(flow_mode, dispatch_is_refused_inside_a_callback_and_on_another_thread) {
  stage s(GetParam());
  std::optional<error> inside;
  ASSERT_TRUE(s.w.loop().post([&] { inside = s.w.loop().dispatch(mode::all).error(); }));
  ASSERT_TRUE(s.w.until([&] { return inside.has_value(); }));
  EXPECT_EQ(*inside, errc::wrong_state);
  std::optional<error> elsewhere;
  std::thread([&] { elsewhere = s.w.loop().dispatch(mode::all).error(); }).join();
  EXPECT_EQ(*elsewhere, errc::wrong_thread);
  EXPECT_EQ(s.w.loop().start().error(), errc::wrong_state);
}

TEST_P(flow_mode, blocking_runs_until_stop_from_another_thread) {
  stage s(GetParam());
  std::thread other([&] {
    for (int i = 0; i < 50; ++i) {
      EXPECT_TRUE(s.a.self.multicast("x"));
    }
    s.w.loop().stop();
  });
  auto did = s.w.loop().dispatch(mode::blocking);
  other.join();
  EXPECT_TRUE(did || did.error() == errc::stopped);
  EXPECT_TRUE(s.w.loop().stopped());
  EXPECT_EQ(s.w.loop().dispatch(mode::all).error(), errc::stopped);
  EXPECT_EQ(s.w.loop().open(s.w.options(), {}).error(), errc::stopped);
  EXPECT_EQ(s.w.loop().post([] {}).error(), errc::stopped);
}

TEST_P(flow_mode, stop_inside_a_callback_ends_run) {
  stage s(GetParam());
  ASSERT_TRUE(s.w.loop().after(std::chrono::milliseconds(2), [&] { s.w.loop().stop(); }));
  EXPECT_TRUE(s.w.loop().run());
  EXPECT_TRUE(s.w.loop().stopped());
  EXPECT_EQ(s.w.loop().run().error(), errc::stopped) << "a second run() is refused";
}

TEST_P(flow_mode, start_runs_the_engine_on_its_own_thread) {
  world w(GetParam());
  std::atomic<int> messages{0};
  std::atomic<bool> joined{false};
  callbacks c;
  c.on_message = [&](handle&, const message&) { ++messages; };
  c.on_state = [&](handle&, const state_change& s) { joined = s.to == handle_state::joined; };
  ASSERT_TRUE(w.loop().start());
  EXPECT_EQ(w.loop().start().error(), errc::wrong_state);
  EXPECT_EQ(w.loop().dispatch(mode::all).error(), errc::wrong_state);
  auto opened = w.loop().open(w.options(world::fresh_group()), std::move(c));
  ASSERT_TRUE(opened);
  const auto wait_for = [](const auto& condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < end) {
      if (condition()) {
        return true;
      }
      std::this_thread::yield();
    }
    return false;
  };
  ASSERT_TRUE(wait_for([&] { return joined.load(); }));
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(wait_for([&] { return opened->multicast("x").has_value(); }));
  }
  EXPECT_TRUE(wait_for([&] { return messages == 1000; }));
  w.loop().stop();
}

TEST_P(flow_mode, every_idle_strategy_delivers) {
  for (const idle strategy : {idle::block, idle::adaptive, idle::spin, idle::yield}) {
    stage s(GetParam(), [strategy](engine_options& o) { o.idle_strategy = strategy; });
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(s.a.self.multicast(fmt::format("{}", i)));
      ASSERT_TRUE(s.w.until([&] { return s.a.messages.size() == static_cast<std::size_t>(i + 1); }))
          << to_string(strategy);
    }
  }
}

bool readable(int fd, int milliseconds) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, milliseconds) == 1;
}

TEST_P(flow_mode, a_foreign_loop_needs_one_descriptor) {
  stage s(GetParam());
  filler f(s.w, s.a, s.name);
  auto fd = s.w.loop().fd();
  ASSERT_TRUE(fd) << fd.error().message();
  const auto drain = [&] {
    while (readable(*fd, 0)) {
      ASSERT_TRUE(s.w.loop().poll_once());
    }
  };
  drain();
  EXPECT_FALSE(readable(*fd, 20)) << "nothing waits";
  for (int round = 0; round < 20; ++round) {
    const std::size_t before = s.a.messages.size();
    f.fill(5);
    while (s.a.messages.size() < before + 5) {
      ASSERT_TRUE(readable(*fd, 60000));
      ASSERT_TRUE(s.w.loop().poll_once(budget{2, 0, {}}));
    }
  }
  drain();
  EXPECT_FALSE(readable(*fd, 20));
  bool ran = false, timer = false;
  std::thread([&] { ASSERT_TRUE(s.w.loop().post([&] { ran = true; })); }).join();
  while (!ran) {
    ASSERT_TRUE(readable(*fd, 60000));
    ASSERT_TRUE(s.w.loop().poll_once());
  }
  ASSERT_TRUE(s.w.loop().after(std::chrono::milliseconds(3), [&] { timer = true; }));
  while (!timer) {
    ASSERT_TRUE(readable(*fd, 60000));
    ASSERT_TRUE(s.w.loop().poll_once());
  }
  std::thread([&] { s.w.loop().stop(); }).join();
  EXPECT_TRUE(readable(*fd, 60000));
  EXPECT_EQ(s.w.loop().poll_once().error(), errc::stopped);
}

TEST_P(flow_mode, a_full_ring_does_not_starve_the_others) {
  stage s(GetParam(), [](engine_options& o) { o.turn_bytes = 4096; });
  witness b;
  const auto other = world::fresh_group();
  open_joined(s.w, b, other);
  filler fa(s.w, s.a, s.name, made_up_pid + 4711), fb(s.w, b, other, made_up_pid + 4712);
  s.quiet();
  fa.fill(100, "a", 500);
  fb.fill(5, "b", 500);
  // Until then the first handle may have had at most two quanta.
  while (b.messages.empty()) {
    ASSERT_TRUE(s.w.loop().dispatch(mode::one));
  }
  EXPECT_LE(s.a.messages.size(), 17U);
  EXPECT_EQ(s.w.loop().dispatch(mode::all)->events + s.a.messages.size() + b.messages.size() >= 105U, true);
}

TEST_P(flow_mode, weights_divide_the_turns) {
  stage s(GetParam(), [](engine_options& o) { o.turn_bytes = 4096; });
  witness b;
  const auto other = world::fresh_group();
  open_joined(s.w, b, other, 0, [](handle_options& o) { o.weight = 3; });
  filler fa(s.w, s.a, s.name, made_up_pid + 4711), fb(s.w, b, other, made_up_pid + 4712);
  s.quiet();
  fa.fill(80, "a", 500);
  fb.fill(80, "b", 500);
  ASSERT_TRUE(s.w.loop().dispatch(mode::blocking, budget{80, 0, {}}));
  const double ratio = static_cast<double>(b.messages.size()) / static_cast<double>(s.a.messages.size());
  EXPECT_GT(ratio, 1.7) << s.a.messages.size() << " and " << b.messages.size();
  EXPECT_LT(ratio, 4.5);
}

TEST_P(flow_mode, an_engine_with_timers_far_in_the_future_sleeps_and_ends) {
  world w(GetParam());
  int runs = 0;
  for (const std::chrono::nanoseconds delay :
       {std::chrono::nanoseconds(std::chrono::hours(1)), std::chrono::nanoseconds::max()}) {
    ASSERT_TRUE(w.loop().after(delay, [&] { ++runs; }));
  }
  ASSERT_TRUE(w.loop().dispatch(mode::all));  // schedules them
  bool posted = false;
  std::thread other([&] { posted = static_cast<bool>(w.loop().post([] {})); });
  const auto ran =
      w.loop().dispatch(mode::one, budget{0, 0, std::chrono::nanoseconds::max()});  // sleeps until the post
  other.join();
  ASSERT_TRUE(posted);
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->events, 1U);
  w.end_engine();
  EXPECT_EQ(runs, 0);
}

TEST_P(flow_mode, an_engine_ends_at_once_after_closing_its_handles) {
  auto w = std::make_unique<world>(GetParam(), [](engine_options& o) { o.close_deadline = patience; });
  witness a;
  open_joined(*w, a, world::fresh_group());
  a.self.close();
  const auto began = std::chrono::steady_clock::now();
  w.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - began, patience / 2)
      << "the destructor waited for an answer that had arrived";
}

}  // namespace
