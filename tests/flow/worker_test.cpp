// Callbacks on worker threads: order under each ordering, fences, modes, faults; random streams with random
// slow callbacks.
#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "support/filler.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

std::function<void(engine_options&)> with_workers(std::uint32_t count, std::uint32_t queue = 4096) {
  return [count, queue](engine_options& o) {
    o.workers = count;
    o.worker_queue = queue;
  };
}

/// Records what one handle's callbacks saw, on any thread.
struct trace {
  std::mutex lock;
  std::vector<std::uint64_t> finished;  // sequences, in the order in which their callbacks returned
  std::vector<std::pair<std::uint32_t, int>> senders;  // pid and number, in the same order
  /// For each view: members, joined, left, and how many messages had finished before it.
  std::vector<std::string> views;
  std::set<std::thread::id> threads;
  std::atomic<int> running{0};
  std::atomic<int> overlaps_with_view{0};
  std::atomic<int> most_at_once{0};
  std::atomic<int> joined{0}, lost{0};
};

/// Callbacks that are slow at random; the seed is printed when a test fails.
callbacks slow_now_and_then(trace& into, unsigned seed) {
  callbacks calls;
  calls.on_message = [&into, seed](handle&, const message& m) {
    const int now = into.running.fetch_add(1) + 1;
    for (int most = into.most_at_once.load();
         now > most && !into.most_at_once.compare_exchange_weak(most, now);) {
    }
    if ((m.sequence() * 2654435761U + seed) % 97 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    {
      const std::lock_guard guard(into.lock);
      into.finished.push_back(m.sequence());
      into.senders.emplace_back(m.sender_pid(), std::stoi(std::string(m.text())));
      into.threads.insert(std::this_thread::get_id());
    }
    into.running.fetch_sub(1);
  };
  calls.on_view = [&into](handle&, const view& v) {
    if (v.cause != view_cause::membership) {
      return;
    }
    into.overlaps_with_view += into.running.load();
    std::string line;
    for (const auto& list : {v.members, v.joined, v.left}) {
      for (const member& one : list) {
        line += fmt::format("{} ", one.pid);
      }
      line += "| ";
    }
    const std::lock_guard guard(into.lock);
    into.views.push_back(line + std::to_string(into.finished.size()));
  };
  calls.on_state = [&into](handle&, const state_change& s) {
    into.overlaps_with_view += into.running.load();
    into.joined += s.to == handle_state::joined ? 1 : 0;
    into.lost += s.cause != nullptr ? 1 : 0;
  };
  return calls;
}

std::size_t finished(trace& t) {
  const std::lock_guard guard(t.lock);
  return t.finished.size();
}

struct stream {
  ordering order;
  std::uint32_t workers;
};
void PrintTo(const stream& s, std::ostream* os) { *os << to_string(s.order) << " on " << s.workers; }

std::vector<stream> every_stream() {
  std::vector<stream> all;
  for (const ordering o : {ordering::by_handle, ordering::by_sender, ordering::by_key, ordering::unordered}) {
    for (const std::uint32_t n : {1U, 2U, 3U, 4U}) {
      all.push_back({o, n});
    }
  }
  return all;
}

class flow_worker_stream : public ::testing::TestWithParam<stream> {};
INSTANTIATE_TEST_SUITE_P(of, flow_worker_stream, ::testing::ValuesIn(every_stream()), [](const auto& info) {
  return fmt::format("{}_on_{}", to_string(info.param.order), info.param.workers);
});

TEST_P(flow_worker_stream, keeps_its_order_and_its_fences) {
  const auto& p = GetParam();
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  world w(wakeup::automatic, with_workers(p.workers, 64));
  const auto group = world::fresh_group();
  trace t;
  auto o = w.options(group);
  o.order = p.order;
  o.key = [](const message& m) { return static_cast<std::uint64_t>(std::stoi(std::string(m.text())) % 7); };
  auto opened = w.loop().open(o, slow_now_and_then(t, seed));
  ASSERT_TRUE(opened);
  ASSERT_TRUE(w.until([&] { return t.joined == 1; }));

  // Three senders, one of which observes without workers, are in the same group; members join and leave in
  // the middle of the stream.
  engine others;
  trace inline_t;
  const auto join = [&](std::uint32_t pid, callbacks calls) {
    auto h = w.options(group);
    cpgring::testing::simulate_pid(h, pid);
    auto made = others.open(h, std::move(calls));
    EXPECT_TRUE(made);
    return *made;
  };
  const auto drive_both = [&](const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition() && std::chrono::steady_clock::now() < end) {
      static_cast<void>(others.dispatch(mode::blocking, budget{64, 0, std::chrono::microseconds(200)}));
      static_cast<void>(w.loop().dispatch(mode::blocking, budget{256, 0, std::chrono::microseconds(200)}));
    }
    return condition();
  };
  handle senders[3] = {join(made_up_pid + 101, slow_now_and_then(inline_t, 1)), join(made_up_pid + 102, {}),
                       join(made_up_pid + 103, {})};
  ASSERT_TRUE(drive_both([&] {
    return std::all_of(std::begin(senders), std::end(senders),
                       [](const handle& h) { return h.state() == handle_state::joined; });
  })) << to_string(senders[0].state())
      << " " << to_string(senders[1].state()) << " " << to_string(senders[2].state());
  constexpr int each = 400;
  int sent[3] = {};
  std::vector<handle> passing;
  std::optional<handle> middle;
  while (sent[0] + sent[1] + sent[2] < 3 * each) {
    if (!middle && sent[0] + sent[1] + sent[2] == 3 * each / 2) {
      // Other members may join and leave before anything drives them. This one certainly appears between two
      // messages.
      middle = join(made_up_pid + 104, {});
      ASSERT_TRUE(drive_both([&] { return middle->state() == handle_state::joined; }));
    }
    const auto s = random() % 3;
    if (sent[s] < each && senders[s].multicast(std::to_string(sent[s]))) {
      ++sent[s];
    }
    if (random() % 100 == 0) {
      passing.push_back(join(made_up_pid + 200 + static_cast<std::uint32_t>(passing.size()), {}));
    } else if (random() % 100 == 0 && !passing.empty()) {
      passing.back().close();
      passing.pop_back();
    }
    if (random() % 20 == 0) {
      drive_both([] { return true; });
      static_cast<void>(others.dispatch(mode::all));
      static_cast<void>(w.loop().dispatch(mode::all));
    }
  }
  const auto total = static_cast<std::size_t>(3 * each);
  ASSERT_TRUE(drive_both([&] { return finished(t) == total && finished(inline_t) == total; }))
      << finished(t) << ' ' << finished(inline_t);

  EXPECT_EQ(t.lost, 0);
  EXPECT_EQ(t.overlaps_with_view, 0) << "a view runs alone";
  const std::lock_guard guard(t.lock);
  auto sorted = t.finished;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < total; ++i) {
    ASSERT_EQ(sorted[i], i + 1) << "each message once";
  }
  // The observer saw the same views between the same messages, from its own join onwards.
  ASSERT_FALSE(inline_t.views.empty());
  const auto from = std::find(t.views.begin(), t.views.end(), inline_t.views.front());
  ASSERT_NE(from, t.views.end());
  const auto both = std::min(inline_t.views.size(), static_cast<std::size_t>(t.views.end() - from));
  ASSERT_GT(both, 1U);
  EXPECT_TRUE(std::equal(from, from + static_cast<std::ptrdiff_t>(both), inline_t.views.begin()))
      << "a fence is where the view stands in the stream";
  std::map<std::uint32_t, int> next;
  std::map<int, std::map<std::uint32_t, int>> last_of_key;
  bool sender_order = true, key_order = true;
  for (const auto& [pid, number] : t.senders) {
    sender_order = sender_order && next[pid]++ == number;
    auto& last = last_of_key[number % 7][pid];
    key_order = key_order && (last == 0 || number > last);
    last = number;
  }
  switch (p.order) {
    case ordering::by_handle:
      EXPECT_TRUE(std::is_sorted(t.finished.begin(), t.finished.end())) << "total order";
      EXPECT_EQ(t.most_at_once, 1);
      EXPECT_EQ(t.threads.size(), 1U);
      break;
    case ordering::by_sender: EXPECT_TRUE(sender_order); break;
    case ordering::by_key: EXPECT_TRUE(key_order); break;
    case ordering::unordered: break;
  }
  EXPECT_LE(t.threads.size(), p.workers);
  EXPECT_FALSE(t.threads.contains(std::this_thread::get_id()));
}

class flow_worker : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_worker, ::testing::ValuesIn(backends_here()), backend_name);

TEST_P(flow_worker, dispatch_modes_behave_as_without_workers) {
  world w(GetParam(), with_workers(2));
  witness a;
  const auto group = world::fresh_group();
  open_joined(w, a, group);
  filler f(w, a, group);
  while (w.loop().dispatch(mode::one_nonblocking)) {
  }
  EXPECT_EQ(w.loop().dispatch(mode::one_nonblocking).error(), errc::try_again);
  f.fill(10);
  for (std::size_t i = 1; i <= 5; ++i) {
    ASSERT_EQ(w.loop().dispatch(mode::one)->events, 1U);
    EXPECT_EQ(a.messages.size(), i) << "its callback has run when the call returns";
  }
  EXPECT_EQ(a.self.dispatch(mode::one_nonblocking)->events, 1U);
  EXPECT_EQ(a.messages.size(), 6U);
  EXPECT_EQ(w.loop().dispatch(mode::blocking, budget{2, 0, {}})->events, 2U);
  EXPECT_EQ(a.messages.size(), 8U);
  EXPECT_EQ(w.loop().dispatch(mode::all)->events, 2U);
  EXPECT_EQ(a.messages.size(), 10U);
  EXPECT_EQ(w.loop().dispatch(mode::all)->events, 0U);
}

TEST_P(flow_worker, all_runs_past_fences_among_waiting_events) {
  world w(GetParam(), with_workers(2));
  witness a;
  const auto group = world::fresh_group();
  open_joined(w, a, group);
  {
    filler f(w, a, group);
    while (w.loop().dispatch(mode::one_nonblocking)) {
    }
    f.fill(5);
  }  // the filler leaves: a view follows the messages
  // The filler's leave view arrives a little after its destructor returns.
  ASSERT_TRUE(w.until([&] {
    EXPECT_TRUE(w.loop().dispatch(mode::all));
    return a.views.back().find("-1000004711/process_down") != std::string::npos;
  }));
  EXPECT_EQ(a.messages.size(), 5U);
  EXPECT_TRUE(a.all.back().starts_with("view ")) << "after the messages";
}

TEST_P(flow_worker, thousands_of_messages_pass_a_queue_of_sixty_four) {
  world w(GetParam(), with_workers(2, 64));
  witness a;
  const auto group = world::fresh_group();
  open_joined(w, a, group, 0, [](handle_options& o) { o.ring_bytes = 1 << 20; });
  filler f(w, a, group);
  while (w.loop().dispatch(mode::one_nonblocking)) {
  }
  f.fill(3000);
  ASSERT_TRUE(w.until([&] { return a.messages.size() == 3000; }));
  for (std::size_t i = 0; i < 3000; ++i) {
    ASSERT_EQ(a.messages[i], fmt::format("m{}", i));
  }
}

TEST_P(flow_worker, every_idle_strategy_wakes_for_new_messages) {
  for (const idle strategy : {idle::block, idle::adaptive, idle::spin, idle::yield}) {
    SCOPED_TRACE(std::string(to_string(strategy)));
    world w(GetParam(), [strategy](engine_options& o) {
      o.workers = 2;
      o.worker_cpus = {0, 4000};  // an existing CPU and one that does not exist
      o.idle_strategy = strategy;
    });
    std::atomic<int> got{0};
    const auto calls = std::make_shared<callbacks>();
    calls->on_message = [&](handle&, const message&) { ++got; };
    std::vector<handle> all;
    for (int i = 0; i < 2; ++i) {
      auto opened = w.loop().open(w.options(world::fresh_group()), calls);
      ASSERT_TRUE(opened);
      all.push_back(*opened);
    }
    ASSERT_TRUE(w.loop().start());
    ASSERT_TRUE(eventually([&] {
      return std::all_of(all.begin(), all.end(),
                         [](const handle& h) { return h.state() == handle_state::joined; });
    }));
    // One message at a time, so that reactor and worker usually sleep in between.
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(all[static_cast<std::size_t>(i % 2)].multicast("x"));
      ASSERT_TRUE(eventually([&] { return got == i + 1; })) << i;
    }
  }
}

TEST_P(flow_worker, more_handles_than_queue_cells_all_get_their_last_state) {
  // 3000 messages pass 64 cells, then 300 closed states at once while the worker is blocked.
  std::atomic<int> got{0}, joined{0}, closed{0}, at_gate{0};
  std::atomic<bool> go{false};
  world w(GetParam(), with_workers(1, 64));
  callbacks gate;
  const auto calls = std::make_shared<callbacks>();
  gate.on_message = [&](handle&, const message&) {
    ++at_gate;
    while (!go) {
      std::this_thread::yield();
    }
  };
  calls->on_message = [&](handle&, const message&) { ++got; };
  calls->on_view = [](handle&, const view&) {};
  const auto count_states = [&](handle&, const state_change& s) {
    joined += s.to == handle_state::joined ? 1 : 0;
    closed += s.to == handle_state::closed ? 1 : 0;
  };
  gate.on_state = count_states;
  calls->on_state = count_states;
  auto stops = w.loop().open(w.options(world::fresh_group()), std::move(gate));
  ASSERT_TRUE(stops);
  std::vector<handle> all;
  for (int i = 0; i < 300; ++i) {
    auto opened = w.loop().open(w.options(world::fresh_group()), calls);
    ASSERT_TRUE(opened);
    all.push_back(*opened);
  }
  ASSERT_TRUE(w.loop().start());
  ASSERT_TRUE(eventually([&] { return joined == 301; })) << joined;
  for (int round = 0; round < 10; ++round) {
    for (auto& h : all) {
      ASSERT_TRUE(eventually([&] { return h.multicast("x").has_value(); }));
    }
  }
  ASSERT_TRUE(eventually([&] { return got == 3000; })) << got;
  ASSERT_TRUE(stops->multicast("stand still"));
  ASSERT_TRUE(eventually([&] { return at_gate == 1; }));
  for (auto& h : all) {
    h.close();
  }
  ASSERT_TRUE(eventually([&] {
    return std::all_of(all.begin(), all.end(),
                       [](const handle& h) { return h.state() == handle_state::closed; });
  }));
  EXPECT_EQ(closed, 0) << "no callback can run while the worker is blocked";
  go = true;
  EXPECT_TRUE(eventually([&] { return closed == 300; })) << closed;
}

TEST_P(flow_worker, a_handle_blocked_by_a_queue_full_of_anothers_messages_resumes_when_there_is_room) {
  world w(GetParam(), with_workers(1, 64));
  std::atomic<bool> go{false};
  std::atomic<int> filled{0}, waited{0};
  callbacks fills, waits;
  fills.on_message = [&](handle&, const message&) {
    ++filled;
    while (!go) {
      std::this_thread::yield();
    }
  };
  waits.on_message = [&](handle&, const message&) { ++waited; };
  auto one = w.loop().open(w.options(world::fresh_group()), std::move(fills));
  auto two = w.loop().open(w.options(world::fresh_group()), std::move(waits));
  ASSERT_TRUE(one && two);
  ASSERT_TRUE(w.loop().start());
  ASSERT_TRUE(eventually(
      [&] { return one->state() == handle_state::joined && two->state() == handle_state::joined; }));
  for (int i = 0; i < 80; ++i) {
    ASSERT_TRUE(one->multicast("x"));
  }
  ASSERT_TRUE(eventually([&] { return filled == 1; }));
  ASSERT_TRUE(two->multicast("y"));
  ASSERT_TRUE(eventually([&] { return two->stats().multicasts == 1; }));
  // The turn of the second handle finds no room, and no release of its own can resume it.
  const auto turns = w.loop().stats().turns;
  ASSERT_TRUE(one->multicast("x"));
  EXPECT_TRUE(eventually([&] { return w.loop().stats().turns > turns; }));
  go = true;
  EXPECT_TRUE(eventually([&] { return waited == 1; })) << waited;
  EXPECT_TRUE(eventually([&] { return filled == 81; })) << filled;
}

TEST_P(flow_worker, a_blocked_callback_blocks_only_its_own_worker) {
  world w(GetParam(), with_workers(2));
  std::atomic<bool> go{false};
  std::atomic<int> stuck{0}, free{0};
  callbacks blocked, quick;
  blocked.on_message = [&](handle&, const message&) {
    ++stuck;
    while (!go) {
      std::this_thread::yield();
    }
  };
  quick.on_message = [&](handle&, const message&) { ++free; };
  auto one = w.loop().open(w.options(world::fresh_group()), std::move(blocked));
  auto two = w.loop().open(w.options(world::fresh_group()), std::move(quick));
  ASSERT_TRUE(one && two);
  ASSERT_TRUE(
      w.until([&] { return one->state() == handle_state::joined && two->state() == handle_state::joined; }));
  ASSERT_TRUE(w.loop().post([] {}));
  std::thread sender([&, one = *one, two = *two]() mutable {
    EXPECT_TRUE(one.multicast("x"));
    while (stuck == 0) {
      std::this_thread::yield();
    }
    for (int i = 0; i < 200;) {
      i += two.multicast("y") ? 1 : 0;
    }
    while (free < 200) {
      std::this_thread::yield();
    }
    EXPECT_EQ(stuck, 1);
    go = true;
    w.loop().stop();
  });
  EXPECT_TRUE(w.loop().run());
  sender.join();
  EXPECT_EQ(free, 200);
}

TEST_P(flow_worker, a_message_as_large_as_the_ring_arrives_after_a_slow_callback) {
  // The reactor sleeps when the small message is done. The large message has no room until the small one's
  // chunk is reclaimed, and the service sends no signal.
  world w(GetParam(), with_workers(1));
  std::atomic<std::size_t> got{0};
  std::atomic<int> joined{0};
  const auto calls = std::make_shared<callbacks>();
  calls->on_state = [&](handle&, const state_change& s) { joined += s.to == handle_state::joined ? 1 : 0; };
  calls->on_message = [&](handle&, const message& m) {
    std::this_thread::sleep_for(std::chrono::milliseconds(got == 0 ? 50 : 0));
    got += m.bytes().size();
  };
  auto h = w.loop().open(w.options(world::fresh_group()), calls);
  ASSERT_TRUE(h);
  ASSERT_TRUE(w.loop().start());
  ASSERT_TRUE(eventually([&] { return joined == 1; }));
  ASSERT_TRUE(h->multicast(std::string(8000, 's')));
  ASSERT_TRUE(eventually([&] { return got == 8000; }));
  ASSERT_TRUE(h->multicast(std::string(h->max_atomic_message(), 'l')));
  EXPECT_TRUE(eventually([&] { return got == 8000 + h->max_atomic_message(); }));
}

TEST_P(flow_worker, a_callback_that_throws_closes_only_its_handle) {
  world w(GetParam(), with_workers(2));
  witness good;
  trace bad;
  auto calls = slow_now_and_then(bad, 0);
  std::atomic<int> closed{0};
  calls.on_message = [](handle&, const message&) { throw std::runtime_error("as planned"); };
  calls.on_state = [&](handle&, const state_change& s) {
    bad.joined += s.to == handle_state::joined ? 1 : 0;
    closed += s.to == handle_state::closed && s.cause != nullptr && *s.cause == errc::callback_threw ? 1 : 0;
  };
  auto opened = w.loop().open(w.options(world::fresh_group()), std::move(calls));
  ASSERT_TRUE(opened);
  open_joined(w, good, world::fresh_group());
  ASSERT_TRUE(w.until([&] { return bad.joined == 1; }));
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(opened->multicast("boom"));
  }
  ASSERT_TRUE(w.until([&] { return closed == 1; }));
  ASSERT_TRUE(good.self.multicast("goes on"));
  EXPECT_TRUE(w.until([&] { return good.messages.size() == 1; }));
}

TEST_P(flow_worker, a_callback_may_close_leave_and_multicast) {
  world w(GetParam(), with_workers(2));
  std::atomic<int> messages{0}, closed{0}, left{0};
  callbacks closing, leaving;
  closing.on_message = [&](handle& h, const message& m) {
    ++messages;
    if (m.text() == "first") {
      EXPECT_TRUE(h.multicast("second"));
    } else {
      h.close();
    }
  };
  closing.on_state = [&](handle&, const state_change& s) { closed += s.to == handle_state::closed ? 1 : 0; };
  leaving.on_message = [&](handle& h, const message&) { EXPECT_TRUE(h.leave()); };
  leaving.on_state = [&](handle&, const state_change& s) { left += s.to == handle_state::left ? 1 : 0; };
  auto one = w.loop().open(w.options(world::fresh_group()), std::move(closing));
  auto two = w.loop().open(w.options(world::fresh_group()), std::move(leaving));
  ASSERT_TRUE(one && two);
  ASSERT_TRUE(
      w.until([&] { return one->state() == handle_state::joined && two->state() == handle_state::joined; }));
  ASSERT_TRUE(one->multicast("first"));
  ASSERT_TRUE(two->multicast("go"));
  EXPECT_TRUE(w.until([&] { return closed == 1 && left == 1; }));
  EXPECT_EQ(messages, 2);
}

TEST_P(flow_worker, a_started_engine_ends_with_messages_in_flight) {
  for (int round = 0; round < 5; ++round) {
    world w(GetParam(), with_workers(3));
    std::atomic<int> messages{0};
    const auto calls = std::make_shared<callbacks>();
    calls->on_message = [&](handle&, const message&) {
      ++messages;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    };
    std::vector<handle> all;
    for (int i = 0; i < 6; ++i) {
      auto o = w.options(world::fresh_group());
      o.order = ordering::unordered;
      auto opened = w.loop().open(o, calls);
      ASSERT_TRUE(opened);
      all.push_back(*opened);
    }
    ASSERT_TRUE(w.loop().start());
    for (auto& h : all) {
      while (h.state() != handle_state::joined) {
        std::this_thread::yield();
      }
      for (int i = 0; i < 200; ++i) {
        static_cast<void>(h.multicast("x"));
      }
    }
    while (messages < 20) {
      std::this_thread::yield();
    }
    w.end_engine();
    const int at_end = messages;
    std::this_thread::yield();
    EXPECT_EQ(messages, at_end) << "no callback runs after the engine's end";
  }
}

TEST_P(flow_worker, a_lost_service_is_reported_after_everything_it_had_delivered) {
  if (!world::embedded()) {
    GTEST_SKIP() << "the service of this run has other clients";
  }
  world w(GetParam(), with_workers(2));
  trace t;
  std::atomic<std::size_t> at_loss{0};
  auto calls = slow_now_and_then(t, 0);
  calls.on_state = [&](handle&, const state_change& s) {
    t.joined += s.to == handle_state::joined ? 1 : 0;
    if (s.to == handle_state::lost) {
      at_loss = finished(t);
      t.lost = 1;
    }
  };
  const auto group = world::fresh_group();
  auto o = w.options(group);
  o.order = ordering::unordered;
  auto opened = w.loop().open(o, std::move(calls));
  ASSERT_TRUE(opened);
  ASSERT_TRUE(w.until([&] { return t.joined == 1; }));
  const auto events = w.embedded_service_object().stats().events;
  for (int i = 0; i < 150; ++i) {
    ASSERT_TRUE(opened->multicast(std::to_string(i)));
  }
  while (w.embedded_service_object().stats().events < events + 150) {
    std::this_thread::yield();
  }
  w.end_service();
  ASSERT_TRUE(w.until([&] { return t.lost == 1; }));
  EXPECT_EQ(at_loss, 150U);
}

}  // namespace
