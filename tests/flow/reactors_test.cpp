// Several reactors in one engine: assignment of handles, concurrency, order, start and end.
#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

std::function<void(engine_options&)> with_reactors(std::uint32_t reactors, std::uint32_t workers = 0) {
  return [=](engine_options& o) {
    o.reactors = reactors;
    o.workers = workers;
    o.worker_queue = 256;
  };
}

class flow_reactors : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_reactors, ::testing::ValuesIn(backends_here()), backend_name);

TEST_P(flow_reactors, handles_are_assigned_in_turn_and_stay_on_their_thread) {
  world w(GetParam(), with_reactors(3));
  std::mutex lock;
  std::map<std::thread::id, std::set<std::uint64_t>> seen;
  std::atomic<int> joined{0}, got{0};
  const auto calls = std::make_shared<callbacks>();
  calls->on_state = [&](handle& h, const state_change& s) {
    const std::lock_guard guard(lock);
    seen[std::this_thread::get_id()].insert(h.id());
    joined += s.to == handle_state::joined ? 1 : 0;
  };
  calls->on_message = [&](handle& h, const message&) {
    const std::lock_guard guard(lock);
    seen[std::this_thread::get_id()].insert(h.id());
    ++got;
  };
  std::vector<handle> all;
  for (int i = 0; i < 9; ++i) {
    auto opened = w.loop().open(w.options(world::fresh_group()), calls);
    ASSERT_TRUE(opened);
    all.push_back(*opened);
  }
  ASSERT_TRUE(w.loop().start());
  ASSERT_TRUE(eventually([&] { return joined == 9; })) << joined;
  for (auto& h : all) {
    ASSERT_TRUE(h.multicast("x"));
  }
  ASSERT_TRUE(eventually([&] { return got == 9; })) << got;
  const auto s = w.loop().stats();
  EXPECT_EQ(s.handles, 9U);
  EXPECT_EQ(s.total.messages, 9U);
  const std::lock_guard guard(lock);
  ASSERT_EQ(seen.size(), 3U);
  for (const auto& [thread, ids] : seen) {
    ASSERT_EQ(ids.size(), 3U);
    EXPECT_EQ(std::set<std::uint64_t>({*ids.begin(), *ids.begin() + 3, *ids.begin() + 6}), ids)
        << "every third handle";
  }
}

TEST_P(flow_reactors, callbacks_of_different_reactors_run_at_the_same_time) {
  world w(GetParam(), with_reactors(2));
  std::atomic<int> inside{0}, met{0};
  const auto calls = std::make_shared<callbacks>();
  calls->on_message = [&](handle&, const message&) {
    ++inside;
    met += eventually([&] { return inside == 2; }) ? 1 : 0;
  };
  auto one = w.loop().open(w.options(world::fresh_group()), calls);
  auto two = w.loop().open(w.options(world::fresh_group()), calls);
  ASSERT_TRUE(one && two);
  ASSERT_TRUE(w.loop().start());
  ASSERT_TRUE(eventually(
      [&] { return one->state() == handle_state::joined && two->state() == handle_state::joined; }));
  ASSERT_TRUE(one->multicast("x"));
  ASSERT_TRUE(two->multicast("x"));
  EXPECT_TRUE(eventually([&] { return met == 2; })) << met;
}

TEST_P(flow_reactors, dispatch_is_refused_with_several_reactors) {
  world w(GetParam(), with_reactors(2));
  auto opened = w.loop().open(w.options(world::fresh_group()), {});
  ASSERT_TRUE(opened);
  for (const mode how : {mode::one, mode::one_nonblocking, mode::all, mode::blocking}) {
    EXPECT_EQ(w.loop().dispatch(how).error(), errc::wrong_state);
    EXPECT_EQ(opened->dispatch(how).error(), errc::wrong_state);
  }
  EXPECT_EQ(w.loop().poll_once().error(), errc::wrong_state);
  EXPECT_EQ(w.loop().fd().error(), errc::wrong_state);
  EXPECT_NE(w.loop().fd().error().message().find("start() or run()"), std::string::npos);
}

TEST_P(flow_reactors, run_drives_the_first_reactor_on_the_callers_thread) {
  world w(GetParam(), with_reactors(2));
  engine& loop = w.loop();  // a callback may still run on the other thread while w is destroyed
  std::atomic<int> joined{0}, here{0};
  const auto me = std::this_thread::get_id();
  const auto calls = std::make_shared<callbacks>();
  calls->on_state = [&](handle&, const state_change& s) {
    here += std::this_thread::get_id() == me ? 1 : 0;
    if (s.to == handle_state::joined && ++joined == 4) {
      EXPECT_EQ(loop.run().error(), errc::wrong_state) << "inside a callback";
      loop.stop();
    }
  };
  std::vector<handle> all;
  for (int i = 0; i < 4; ++i) {
    auto opened = w.loop().open(w.options(world::fresh_group()), calls);
    ASSERT_TRUE(opened);
    all.push_back(*opened);
  }
  EXPECT_TRUE(w.loop().run());
  EXPECT_EQ(joined, 4);
  EXPECT_GT(here, 0);
  EXPECT_TRUE(w.loop().stopped());
  EXPECT_EQ(w.loop().run().error(), errc::stopped);
  EXPECT_EQ(w.loop().start().error(), errc::stopped);
  EXPECT_EQ(w.loop().open(w.options("late"), {}).error(), errc::stopped);
}

TEST_P(flow_reactors, a_second_start_is_refused_and_disturbs_nothing) {
  world w(GetParam(), with_reactors(2, 1));
  std::atomic<int> posted{0};
  ASSERT_TRUE(w.loop().start());
  EXPECT_EQ(w.loop().start().error(), errc::wrong_state);
  EXPECT_EQ(w.loop().run().error(), errc::wrong_state);
  std::thread::id first, second;
  ASSERT_TRUE(w.loop().post([&] {
    first = std::this_thread::get_id();
    ++posted;
  }));
  ASSERT_TRUE(w.loop().after(std::chrono::milliseconds(1), [&] {
    second = std::this_thread::get_id();
    ++posted;
  }));
  EXPECT_TRUE(eventually([&] { return posted == 2; }));
  EXPECT_EQ(first, second) << "the first reactor runs tasks and timers";
  EXPECT_FALSE(w.loop().stopped());
}

/// The members of one group are on all reactors and send from callbacks and from another thread.
TEST_P(flow_reactors, all_members_of_a_group_see_the_same_order_on_every_reactor) {
  for (const std::uint32_t workers : {0U, 2U}) {
    world w(GetParam(), with_reactors(3, workers));
    constexpr int members = 5, each = 200;
    struct seen {
      std::vector<std::string> messages;
      std::atomic<int> count{0};
      std::atomic<std::size_t> members{0};
      int asked = 0, answered = 0;
      void answer(handle& h) {
        while (answered < asked && h.multicast(fmt::format("a{}", answered))) {
          ++answered;
        }
      }
    };
    std::vector<seen> all(members);
    std::vector<handle> handles;
    const auto group = world::fresh_group();
    for (std::uint32_t i = 0; i < members; ++i) {
      auto o = w.options(group);
      cpgring::testing::simulate_pid(o, 100 + i);
      callbacks calls;
      calls.on_view = [&all, i](handle&, const view& v) { all[i].members = v.members.size(); };
      calls.on_message = [&all, i](handle& h, const message& m) {
        auto& mine = all[i];
        mine.messages.push_back(fmt::format("{} {}", m.sender_pid(), m.text()));
        if (m.sender_pid() == h.pid() && m.text().front() == 'q') {
          ++mine.asked;
          mine.answer(h);
        }
        ++mine.count;
      };
      calls.on_writable = [&all, i](handle& h) { all[i].answer(h); };
      auto opened = w.loop().open(o, std::move(calls));
      ASSERT_TRUE(opened);
      handles.push_back(*opened);
    }
    ASSERT_TRUE(w.loop().start());
    ASSERT_TRUE(eventually([&] {
      return std::all_of(all.begin(), all.end(), [](const seen& s) { return s.members == members; });
    }));
    for (int round = 0; round < each; ++round) {
      for (auto& h : handles) {
        ASSERT_TRUE(eventually([&] { return h.multicast(fmt::format("q{}", round)).has_value(); }));
      }
    }
    constexpr int total = 2 * members * each;
    ASSERT_TRUE(eventually(
        [&] { return std::all_of(all.begin(), all.end(), [](const seen& s) { return s.count == total; }); }));
    w.end_engine();  // no callback writes to `all` from here on
    for (const auto& one : all) {
      ASSERT_EQ(one.messages.size(), static_cast<std::size_t>(total));
      EXPECT_EQ(one.messages, all.front().messages);
    }
  }
}

/// Each handle, on any worker and reactor, gets each message once and in order, and its views overlap none of
/// its callbacks.
TEST_P(flow_reactors, workers_are_shared_and_keep_order_and_fences) {
  for (const std::uint32_t workers : {1U, 2U, 3U}) {
    world w(GetParam(), with_reactors(2, workers));
    constexpr int count = 12, each = 300;
    struct seen {
      std::atomic<int> running{0}, overlaps{0}, got{0}, out_of_order{0}, left{0};
      int next = 0;
    };
    std::vector<seen> all(count);
    std::vector<handle> handles, others;
    std::mutex lock;
    std::set<std::thread::id> threads;
    std::atomic<int> joined{0}, passed{0};
    for (std::size_t i = 0; i < count; ++i) {
      auto& mine = all[i];
      const auto group = world::fresh_group();
      callbacks calls;
      calls.on_message = [&](handle&, const message& m) {
        ++mine.running;
        if (const int number = std::stoi(std::string(m.text())); number == mine.next) {
          ++mine.next;
        } else {
          ++mine.out_of_order;
        }
        if (m.sequence() % 64 == 0) {
          const std::lock_guard guard(lock);
          threads.insert(std::this_thread::get_id());
        }
        --mine.running;
        ++mine.got;
      };
      calls.on_view = [&](handle&, const view& v) {
        mine.overlaps += mine.running;
        mine.left += v.left.empty() ? 0 : 1;
      };
      calls.on_state = [&](handle&, const state_change& s) {
        joined += s.to == handle_state::joined ? 1 : 0;
      };
      auto opened = w.loop().open(w.options(group), std::move(calls));
      ASSERT_TRUE(opened);
      handles.push_back(*opened);
    }
    ASSERT_TRUE(w.loop().start());
    ASSERT_TRUE(eventually([&] { return joined == count; })) << joined;
    // Members that join and leave in the middle of the stream.
    const auto passing = std::make_shared<callbacks>();
    passing->on_state = [&](handle& h, const state_change& s) {
      if (s.to == handle_state::joined) {
        ++passed;
        h.close();
      }
    };
    for (const auto& h : handles) {
      auto o = w.options(h.group());
      cpgring::testing::simulate_pid(o, made_up_pid + 4711);
      auto other = w.loop().open(o, passing);
      ASSERT_TRUE(other);
      others.push_back(*other);
    }
    for (int number = 0; number < each; ++number) {
      for (auto& h : handles) {
        ASSERT_TRUE(eventually([&] { return h.multicast(std::to_string(number)).has_value(); }));
      }
    }
    for (auto& one : all) {
      ASSERT_TRUE(eventually([&] { return one.got == each && one.left == 1; })) << one.got << ' ' << one.left;
      EXPECT_EQ(one.out_of_order, 0);
      EXPECT_EQ(one.overlaps, 0);
    }
    EXPECT_EQ(passed, count);
    const std::lock_guard guard(lock);
    EXPECT_EQ(threads.size(), workers) << "every worker serves both reactors";
  }
}

TEST_P(flow_reactors, the_engines_end_flushes_the_handles_of_every_reactor) {
  for (const std::uint32_t workers : {0U, 2U}) {
    world w(GetParam(), with_reactors(2, workers));
    engine watching;
    std::vector<handle> handles, watchers;
    std::atomic<int> joined{0};
    int watched = 0;
    const auto calls = std::make_shared<callbacks>();
    const auto watch = std::make_shared<callbacks>();
    calls->on_state = [&](handle&, const state_change& s) { joined += s.to == handle_state::joined ? 1 : 0; };
    watch->on_message = [&](handle&, const message&) { ++watched; };
    for (int i = 0; i < 4; ++i) {
      const auto group = world::fresh_group();
      auto o = w.options(group);
      auto opened = w.loop().open(o, calls);
      cpgring::testing::simulate_pid(o, made_up_pid + 4711);
      auto watcher = watching.open(o, watch);
      ASSERT_TRUE(opened && watcher);
      handles.push_back(*opened);
      watchers.push_back(*watcher);
    }
    const auto drive = [&](const std::function<bool()>& condition) {
      return eventually([&] { return static_cast<void>(watching.dispatch(mode::all)), condition(); });
    };
    ASSERT_TRUE(drive([&] {
      return std::all_of(watchers.begin(), watchers.end(),
                         [](const handle& h) { return h.state() == handle_state::joined; });
    }));
    ASSERT_TRUE(w.loop().start());
    ASSERT_TRUE(drive([&] { return joined == 4; }));
    for (auto& h : handles) {
      ASSERT_TRUE(h.multicast("last words"));
    }
    // Waits until the reactors have taken what this thread multicast.
    ASSERT_TRUE(eventually([&] { return w.loop().stats().total.multicasts == 4; }));
    w.end_engine();
    EXPECT_TRUE(drive([&] { return watched == 4; })) << watched;
    for (auto& h : handles) {
      EXPECT_EQ(h.state(), handle_state::closed);
      EXPECT_EQ(h.multicast("late").error(), errc::bad_handle);
    }
  }
}

TEST_P(flow_reactors, an_engine_that_was_never_driven_ends) {
  world w(GetParam(), with_reactors(4, 2));
  auto opened = w.loop().open(w.options(world::fresh_group()), {});
  ASSERT_TRUE(opened);
  w.end_engine();
  EXPECT_EQ(opened->state(), handle_state::closed);
}

std::size_t open_descriptors() {
  DIR* const all = ::opendir("/proc/self/fd");
  std::size_t count = 0;
  while (::readdir(all) != nullptr) {
    ++count;
  }
  ::closedir(all);
  return count - 3;  // ".", ".." and the descriptor of the directory
}

// Runs alone, because the limit applies to the whole process.
TEST(flow_reactors_alone, start_fails_without_enough_descriptors_and_leaks_none) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto open = open_descriptors();
  int failed = 0, worked = 0;
  // The limit bounds descriptor numbers, and the lowest free number is used first.
  const int lowest = ::dup(0);
  ASSERT_GE(lowest, 0);
  ::close(lowest);
  for (rlim_t most = static_cast<rlim_t>(lowest); most < 300 && worked == 0; ++most) {
    engine_options o;
    o.reactors = 3;
    o.workers = 2;
    engine e(o);
    rlimit few = before;
    few.rlim_cur = most;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    auto ok = e.start();
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    if (ok) {
      ++worked;
    } else {
      ++failed;
      EXPECT_FALSE(ok.error().message().empty());
    }
  }
  EXPECT_GT(failed, 0);
  EXPECT_EQ(worked, 1);
  EXPECT_EQ(open_descriptors(), open);
}

}  // namespace
