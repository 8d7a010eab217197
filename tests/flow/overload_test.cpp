// Workers that fall behind: waiting messages are copied out or held, or the handle is closed. Nothing is lost
// or reordered, and other handles are not affected.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include <fmt/format.h>

#include "support/filler.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

std::string text_of(int number, std::size_t size) {
  std::string text = fmt::format("{} ", number);
  text.resize(std::max(size, text.size()), static_cast<char>('a' + number % 26));
  return text;
}

/// A started engine with one worker, a handle whose callback blocks at a gate, and a handle on the same
/// worker.
class flow_overload : public ::testing::TestWithParam<wakeup> {
 protected:
  flow_overload() : w(GetParam(), [](engine_options& o) { o.workers = 1; }) {}
  ~flow_overload() override { open_gate(); }

  void open(const std::function<void(handle_options&)>& adjust = {}) {
    callbacks stuck;
    stuck.on_message = [this](handle&, const message&) {
      std::unique_lock guard(lock);
      at_gate = true;
      changed.notify_all();
      changed.wait(guard, [this] { return gate_open; });
      ++through;
    };
    stuck.on_state = [this](handle&, const state_change& s) {
      joined += s.to == handle_state::joined ? 1 : 0;
    };
    callbacks behind;
    behind.on_message = [this](handle&, const message& m) {
      const std::lock_guard guard(lock);
      got.emplace_back(m.text());
    };
    behind.on_view = [this](handle&, const view& v) {
      const std::lock_guard guard(lock);
      got.push_back(fmt::format("view of {}", v.members.size()));
    };
    behind.on_overload = [this](handle&, const overload_warning& one) {
      const std::lock_guard guard(lock);
      warnings.push_back(one);
    };
    behind.on_state = [this](handle&, const state_change& s) {
      joined += s.to == handle_state::joined ? 1 : 0;
      if (s.cause != nullptr) {
        const std::lock_guard guard(lock);
        causes.push_back(*s.cause);
      }
    };
    auto first = w.loop().open(w.options(stuck_group), std::move(stuck));
    ASSERT_TRUE(first);
    stuck_handle = *first;
    auto o = w.options(group);
    if (adjust) {
      adjust(o);
    }
    auto second = w.loop().open(o, std::move(behind));
    ASSERT_TRUE(second);
    there = *second;
    ASSERT_TRUE(w.loop().start());
    ASSERT_TRUE(eventually([&] { return joined == 2; }));
    sender = open_sender(made_up_pid + 4711);
    ASSERT_TRUE(eventually([&] {
      const std::lock_guard guard(lock);
      return !got.empty() && got.back() == "view of 2";
    }));
  }
  handle open_sender(std::uint32_t pid) {
    auto o = w.options(group);
    cpgring::testing::simulate_pid(o, pid);
    auto made = others.open(o, {});
    EXPECT_TRUE(made);
    EXPECT_TRUE(drive([&] { return made->state() == handle_state::joined; }));
    return *made;
  }
  bool drive(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    bool holds = false;
    while (!(holds = condition()) && std::chrono::steady_clock::now() < end) {
      static_cast<void>(others.dispatch(mode::blocking, budget{64, 0, std::chrono::milliseconds(1)}));
    }
    return holds;
  }
  void send(int from, int to, std::size_t size) {
    for (int i = from; i < to; ++i) {
      result<void> sent;
      ASSERT_TRUE(drive([&] {
        return (sent = sender.multicast(text_of(i, size))).has_value() || sent.error() != errc::try_again;
      }));
      ASSERT_TRUE(sent) << sent.error().message();
    }
    // The service answers this query after it has taken all of them.
    bool answered = false;
    ASSERT_TRUE(sender.query_local_node([&](const result<std::uint32_t>& r) { answered = r.has_value(); }));
    ASSERT_TRUE(drive([&] { return answered; }));
  }
  void stop_the_worker() {
    stopped_at = std::chrono::steady_clock::now();
    ASSERT_TRUE(stuck_handle.multicast("stop here"));
    std::unique_lock guard(lock);
    ASSERT_TRUE(changed.wait_for(guard, patience, [this] { return at_gate; }));
  }
  void open_gate() {
    const std::lock_guard guard(lock);
    gate_open = true;
    changed.notify_all();
  }
  std::size_t seen() {
    const std::lock_guard guard(lock);
    return got.size();
  }
  void forget() {
    const std::lock_guard guard(lock);
    got.clear();
  }
  void expect_all(int count, std::size_t size) {
    ASSERT_TRUE(eventually([&] { return seen() >= static_cast<std::size_t>(count); }))
        << seen() << " of " << count;
    const std::lock_guard guard(lock);
    ASSERT_EQ(got.size(), static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(got[static_cast<std::size_t>(i)], text_of(i, size));
    }
  }
  // Before `w`, because its worker may still use these at the gate while `w` is destroyed.
  std::mutex lock;
  std::condition_variable changed;
  bool at_gate = false, gate_open = false;
  std::chrono::steady_clock::time_point stopped_at;
  int through = 0;
  std::vector<std::string> got;
  std::vector<overload_warning> warnings;
  std::vector<error> causes;
  std::atomic<int> joined{0};
  const std::string group = world::fresh_group(), stuck_group = world::fresh_group();
  world w;
  engine others;
  handle stuck_handle, there, sender;
};
INSTANTIATE_TEST_SUITE_P(backend, flow_overload, ::testing::ValuesIn(backends_here()), backend_name);

TEST_P(flow_overload, copies_waiting_messages_out_so_that_the_service_need_not_queue) {
  open();
  stop_the_worker();
  forget();
  send(0, 1000, 1000);  // a megabyte through a ring of 64 KiB
  ASSERT_TRUE(eventually([&] { return there.stats().copied_out > 800U; })) << there.stats().copied_out;
  if (world::embedded()) {
    EXPECT_TRUE(drive([&] { return w.embedded_service_object().stats().backlog_bytes == 0; }));
  }
  EXPECT_EQ(seen(), 0U);
  const auto s = there.stats();
  EXPECT_GT(s.copied_out_now, 800000U);
  EXPECT_GE(s.ring_used_max, 32768U);
  open_gate();
  expect_all(1000, 1000);
  EXPECT_TRUE(eventually([&] { return there.stats().copied_out_now == 0; }));
  ASSERT_TRUE(there.multicast("and on"));
  EXPECT_TRUE(eventually([&] { return seen() == 1001; }));
}

TEST_P(flow_overload, is_reported_once_before_anything_is_copied_out) {
  open();
  stop_the_worker();
  forget();
  send(0, 200, 1000);
  ASSERT_TRUE(eventually([&] { return there.stats().copied_out_now > 100000U; }));
  {
    const std::lock_guard guard(lock);
    ASSERT_EQ(warnings.size(), 1U);
    EXPECT_EQ(warnings[0].copied_out, 0U);
    EXPECT_GT(warnings[0].oldest_age.count(), 0);
    EXPECT_LT(warnings[0].oldest_age, std::chrono::steady_clock::now() - stopped_at)
        << "the age of waiting messages only";
    EXPECT_GE(warnings[0].ring_used, warnings[0].ring_size / 2);
    EXPECT_GE(warnings[0].ring_size, 65536U);
  }
  EXPECT_EQ(there.stats().overloads, 1U);
  open_gate();
  expect_all(200, 1000);
}

TEST_P(flow_overload, holds_beyond_copy_out_bytes_max_and_loses_nothing) {
  open([](handle_options& o) { o.copy_out_bytes_max = 100000; });
  stop_the_worker();
  forget();
  send(0, 1000, 1000);
  ASSERT_TRUE(eventually([&] { return there.stats().copied_out_now > 90000U; }))
      << there.stats().copied_out_now;
  EXPECT_LE(there.stats().copied_out_now, 100000U);
  if (world::embedded()) {
    EXPECT_GT(w.embedded_service_object().stats().backlog_bytes, 500000U)
        << "the service queues once the handle copies no more";
  }
  open_gate();
  expect_all(1000, 1000);
}

TEST_P(flow_overload, hold_copies_nothing) {
  open([](handle_options& o) { o.when_overloaded = overload::hold; });
  stop_the_worker();
  forget();
  send(0, 300, 1000);
  ASSERT_TRUE(eventually([&] { return there.stats().overloads == 1; }));
  EXPECT_EQ(there.stats().copied_out, 0U);
  open_gate();
  expect_all(300, 1000);
}

TEST_P(flow_overload, disconnect_closes_only_that_handle) {
  open([](handle_options& o) { o.when_overloaded = overload::disconnect; });
  stop_the_worker();
  send(0, 200, 1000);
  ASSERT_TRUE(eventually([&] { return there.state() == handle_state::closed; }));
  open_gate();
  ASSERT_TRUE(eventually([&] {
    const std::lock_guard guard(lock);
    return !causes.empty();
  }));
  EXPECT_EQ(causes[0], errc::overloaded);
  EXPECT_NE(causes[0].text.find("when_overloaded is disconnect"), std::string::npos) << causes[0].text;
  EXPECT_EQ(stuck_handle.state(), handle_state::joined);
  ASSERT_TRUE(stuck_handle.multicast("another"));
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard guard(lock);
    return through == 2;
  }));
}

TEST_P(flow_overload, keeps_views_in_place_among_copied_messages) {
  open();
  stop_the_worker();
  forget();
  send(0, 300, 1000);
  handle third = open_sender(made_up_pid + 4712);
  send(300, 600, 1000);
  third.close();
  ASSERT_TRUE(drive([&] { return third.state() == handle_state::closed; }));
  send(600, 900, 1000);
  ASSERT_TRUE(eventually([&] { return there.stats().copied_out > 700; }));
  open_gate();
  ASSERT_TRUE(drive([&] { return seen() == 902; })) << seen();
  const std::lock_guard guard(lock);
  EXPECT_EQ(got[300], "view of 3");
  EXPECT_EQ(got[299], text_of(299, 1000));
  EXPECT_EQ(got[301], text_of(300, 1000));
  // The view of the close comes at some place after that.
  EXPECT_EQ(std::count(got.begin(), got.end(), "view of 2"), 1);
  std::vector<std::string> messages;
  std::copy_if(got.begin(), got.end(), std::back_inserter(messages),
               [](const std::string& s) { return !s.starts_with("view"); });
  for (int i = 0; i < 900; ++i) {
    ASSERT_EQ(messages[static_cast<std::size_t>(i)], text_of(i, 1000));
  }
}

TEST_P(flow_overload, a_close_with_copies_waiting_leaks_nothing) {
  open();
  stop_the_worker();
  send(0, 500, 1000);
  ASSERT_TRUE(eventually([&] { return there.stats().copied_out_now != 0; }));
  there.close();
  ASSERT_TRUE(eventually([&] { return there.state() == handle_state::closed; }));
  open_gate();
  w.end_engine();
}

TEST_P(flow_overload, the_engines_end_with_copies_waiting_runs_no_further_callback) {
  open();
  stop_the_worker();
  const auto before = seen();
  send(0, 500, 1000);
  ASSERT_TRUE(eventually([&] { return there.stats().copied_out_now != 0; }));
  w.loop().stop();  // no callback begins after this
  open_gate();
  w.end_engine();
  EXPECT_EQ(seen(), before);
}

// --- random streams

struct stream {
  ordering order;
  std::uint32_t workers;
  overload policy;
};
void PrintTo(const stream& s, std::ostream* os) {
  *os << to_string(s.order) << " on " << s.workers << ' ' << to_string(s.policy);
}

std::vector<stream> every_stream() {
  std::vector<stream> all;
  for (const ordering o : {ordering::by_handle, ordering::by_sender, ordering::by_key, ordering::unordered}) {
    for (const std::uint32_t n : {1U, 2U, 4U}) {
      all.push_back({o, n, overload::copy_out});
    }
    all.push_back({o, 3, overload::hold});
  }
  return all;
}

class flow_overload_stream : public ::testing::TestWithParam<stream> {};
INSTANTIATE_TEST_SUITE_P(of, flow_overload_stream, ::testing::ValuesIn(every_stream()), [](const auto& info) {
  return fmt::format("{}_on_{}_{}", to_string(info.param.order), info.param.workers,
                     to_string(info.param.policy));
});

TEST_P(flow_overload_stream, slow_callbacks_and_leases_change_neither_order_nor_bytes) {
  const auto& p = GetParam();
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);

  std::mutex lock;
  std::vector<std::pair<std::uint32_t, int>> order;  // sender's pid and message number
  std::vector<lease> kept;
  std::vector<int> before_view;  // how many message callbacks had finished when a view ran
  std::atomic<int> running{0}, overlaps{0}, wrong{0}, done{0}, joined{0};
  const auto right = [](std::string_view text) {
    const int number = std::stoi(std::string(text));
    return text == text_of(number, text.size());
  };
  world w(wakeup::automatic, [&](engine_options& o) {
    o.workers = p.workers;
    o.worker_queue = 64;
  });
  callbacks calls;
  calls.on_message = [&](handle&, const message& m) {
    ++running;
    const unsigned dice = static_cast<unsigned>(m.sequence() * 2654435761U + seed) >> 8;
    if (dice % 500 == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(15));
    }
    wrong += right(m.text()) ? 0 : 1;
    {
      const std::lock_guard guard(lock);
      order.emplace_back(m.sender_pid(), std::stoi(std::string(m.text())));
      if (dice % 7 == 0) {
        if (auto l = m.retain()) {
          kept.push_back(std::move(*l));
        }
      }
      if (kept.size() > 20) {
        const std::size_t at = dice % kept.size();
        wrong += right(kept[at].pin().text()) ? 0 : 1;
        kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(at));
      }
    }
    --running;
    ++done;
  };
  calls.on_view = [&](handle&, const view&) {
    overlaps += running;
    const std::lock_guard guard(lock);
    before_view.push_back(done);
  };
  calls.on_state = [&](handle&, const state_change& s) {
    overlaps += running;
    joined += s.to == handle_state::joined ? 1 : 0;
  };
  auto o = w.options(world::fresh_group());
  o.order = p.order;
  o.when_overloaded = p.policy;
  o.key = [](const message& m) { return static_cast<std::uint64_t>(std::stoi(std::string(m.text())) % 7); };
  auto opened = w.loop().open(o, std::move(calls));
  ASSERT_TRUE(opened);
  ASSERT_TRUE(w.loop().start());
  ASSERT_TRUE(eventually([&] { return joined == 1; }));

  engine others;
  const auto drive = [&](const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    bool holds = false;
    while (!(holds = condition()) && std::chrono::steady_clock::now() < end) {
      static_cast<void>(others.dispatch(mode::blocking, budget{64, 0, std::chrono::microseconds(300)}));
    }
    return holds;
  };
  handle senders[3];
  for (std::uint32_t i = 0; i < 3; ++i) {
    auto h = w.options(o.group);
    cpgring::testing::simulate_pid(h, made_up_pid + 101 + i);
    senders[i] = *others.open(h, {});
    ASSERT_TRUE(drive([&] { return senders[i].state() == handle_state::joined; }));
  }
  constexpr int each = 700;
  int sent[3] = {};
  std::vector<handle> passing;
  while (sent[0] + sent[1] + sent[2] < 3 * each) {
    const auto s = random() % 3;
    if (sent[s] < each &&
        senders[s].multicast(text_of(sent[s], random() % 10 == 0 ? random() % 8000 : random() % 600))) {
      ++sent[s];
    } else {
      drive([] { return true; });
      static_cast<void>(others.dispatch(mode::all));
    }
    if (random() % 400 == 0) {
      auto h = w.options(o.group);
      cpgring::testing::simulate_pid(h, made_up_pid + 200 + static_cast<std::uint32_t>(passing.size()));
      passing.push_back(*others.open(h, {}));
    } else if (random() % 400 == 0 && !passing.empty()) {
      passing.back().close();
      passing.pop_back();
    }
  }
  ASSERT_TRUE(drive([&] { return done == 3 * each; })) << done;
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(overlaps, 0) << "a view runs alone";
  const std::lock_guard guard(lock);
  for (const lease& l : kept) {
    EXPECT_TRUE(right(l.pin().text()));
  }
  std::map<std::uint32_t, std::vector<int>> of_sender;
  std::map<std::pair<int, std::uint32_t>, int> last;
  bool sender_order = true, key_order = true;
  for (const auto& [pid, number] : order) {
    auto& numbers = of_sender[pid];
    sender_order = sender_order && static_cast<int>(numbers.size()) == number;
    numbers.push_back(number);
    const auto [at, first] = last.try_emplace({number % 7, pid}, number);
    key_order = key_order && (first || at->second < number);
    at->second = number;
  }
  for (auto& [pid, numbers] : of_sender) {
    std::sort(numbers.begin(), numbers.end());
    ASSERT_EQ(numbers.size(), static_cast<std::size_t>(each));
    for (int i = 0; i < each; ++i) {
      ASSERT_EQ(numbers[static_cast<std::size_t>(i)], i) << "each message once";
    }
  }
  EXPECT_TRUE(p.order == ordering::by_key || p.order == ordering::unordered || sender_order);
  EXPECT_TRUE(p.order == ordering::unordered || key_order);
  kept.clear();
}

}  // namespace
