// multicast_confirmed: the confirmation runs once, at the message's place in the total order, or says why the
// outcome is unknown.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;

/// Records what one handle heard: messages, and outcomes of multicasts by name. Callbacks may run on workers.
struct listener {
  std::mutex lock;
  std::vector<std::string> heard;  // "m NAME" and "NAME FATE"
  std::map<std::string, std::uint64_t> sequence_of_message, sequence_of_outcome;
  std::map<std::string, std::error_code> cause;
  std::size_t writable = 0;
  handle h;

  void note(std::string what) {
    const std::lock_guard guard(lock);
    heard.push_back(std::move(what));
  }
  static std::string name_in(std::string_view text) { return std::string(text.substr(0, text.find('/'))); }
  callbacks record() {
    callbacks c;
    c.on_message = [this](handle&, const message& m) {
      const std::lock_guard guard(lock);
      heard.push_back("m " + name_in(m.text()));
      sequence_of_message[name_in(m.text())] = m.sequence();
    };
    c.on_state = [this](handle&, const state_change& s) { note(std::string(to_string(s.to))); };
    c.on_writable = [this](handle&) {
      const std::lock_guard guard(lock);
      ++writable;
    };
    return c;
  }
  confirmation outcome_of(const std::string& name) {
    return [this, name](const multicast_outcome& o) {
      const std::lock_guard guard(lock);
      heard.push_back(name + " " + std::string(to_string(o.fate)));
      sequence_of_outcome[name] = o.sequence;
      if (o.cause) {
        cause[name] = o.cause->code;
      }
    };
  }
  result<void> send(const std::string& name, std::size_t size = 0,
                    std::chrono::milliseconds deadline = patience) {
    std::string text = name + "/";
    text.resize(std::max(text.size(), size), 'x');
    return h.multicast_confirmed(text, deadline, outcome_of(name));
  }
  std::vector<std::string> reported() {
    const std::lock_guard guard(lock);
    return heard;
  }
  std::ptrdiff_t count(const std::string& what) {
    const auto all = reported();
    return std::count(all.begin(), all.end(), what);
  }
  bool has(const std::string& what) { return count(what) != 0; }
  /// The number of outcomes reported for `name`.
  std::ptrdiff_t outcomes(const std::string& name) {
    return count(name + " confirmed") + count(name + " not sent") + count(name + " unknown");
  }
};

struct flow_confirmed : ::testing::TestWithParam<std::tuple<wakeup, std::uint32_t>> {
  world w{std::get<0>(GetParam()), [](engine_options& o) { o.workers = std::get<1>(GetParam()); }};
  listener a;

  void open(std::function<void(handle_options&)> adjust = {}) {
    auto options = w.options(world::fresh_group("confirmed"));
    if (adjust) {
      adjust(options);
    }
    auto opened = w.loop().open(options, a.record());
    ASSERT_TRUE(opened) << opened.error().message();
    a.h = *opened;
    ASSERT_TRUE(w.until([&] { return a.has("joined"); }));
  }
};
std::string name_of(const ::testing::TestParamInfo<std::tuple<wakeup, std::uint32_t>>& info) {
  return fmt::format("{}_workers_{}", to_string(std::get<0>(info.param)), std::get<1>(info.param));
}
INSTANTIATE_TEST_SUITE_P(on, flow_confirmed,
                         ::testing::Combine(::testing::ValuesIn(backends_here()), ::testing::Values(0U, 2U)),
                         name_of);

TEST_P(flow_confirmed, runs_right_after_its_message_with_the_same_sequence) {
  open();
  for (int i = 0; i < 300; ++i) {
    const auto name = std::to_string(i);
    if (i % 3 == 2) {
      ASSERT_TRUE(w.until([&] { return a.h.multicast(name + "/").has_value(); }));
    } else {
      ASSERT_TRUE(a.send(name, i % 7 == 0 ? 3000 : 0));
    }
  }
  ASSERT_TRUE(w.until([&] { return a.has("m 299") && a.has("298 confirmed"); }));
  std::vector<std::string> expected = {"ready", "joining", "joined"};
  for (int i = 0; i < 300; ++i) {
    expected.push_back(fmt::format("m {}", i));
    if (i % 3 != 2) {
      expected.push_back(fmt::format("{} confirmed", i));
    }
  }
  EXPECT_EQ(a.reported(), expected);
  for (const auto& [name, sequence] : a.sequence_of_outcome) {
    EXPECT_EQ(sequence, a.sequence_of_message[name]) << name;
  }
}

TEST_P(flow_confirmed, works_from_any_thread_mixed_with_plain_multicasts) {
  open();
  constexpr int threads = 3, each = 150;
  std::vector<std::thread> senders;
  for (int t = 0; t < threads; ++t) {
    senders.emplace_back([this, t] {
      for (int i = 0; i < each; ++i) {
        const auto name = fmt::format("{}-{}", t, i);
        ASSERT_TRUE(eventually([&] {
          return i % 5 == 4 ? a.h.multicast(name + "/").has_value() : a.send(name).has_value();
        })) << name;
      }
    });
  }
  const bool came = w.until([&] {
    std::size_t messages = 0;
    const std::lock_guard guard(a.lock);
    messages = a.sequence_of_message.size();
    return messages == threads * each && a.sequence_of_outcome.size() == threads * each * 4 / 5;
  });
  for (auto& one : senders) {
    one.join();
  }
  ASSERT_TRUE(came);
  for (const auto& [name, sequence] : a.sequence_of_outcome) {
    EXPECT_EQ(sequence, a.sequence_of_message[name]) << name;
    EXPECT_EQ(a.count(name + " confirmed"), 1) << name;
  }
}

TEST_P(flow_confirmed, has_the_right_sequence_among_large_messages_and_reservations) {
  open();
  const std::size_t large = a.h.max_atomic_message() * 3 + 5;
  ASSERT_TRUE(a.send("first"));
  ASSERT_TRUE(a.send("large", large));
  ASSERT_TRUE(a.send("between"));
  ASSERT_TRUE(a.send("larger", large * 2));
  ASSERT_TRUE(w.until([&] { return a.has("larger confirmed"); }));
  if (std::get<1>(GetParam()) == 0) {  // only the driving thread may reserve
    ASSERT_TRUE(w.until([&] {
      auto room = a.h.reserve(9);
      if (room) {
        std::memcpy(room->bytes().data(), "reserved/", 9);
        EXPECT_TRUE(room->commit());
      }
      return room.has_value();
    }));
  }
  ASSERT_TRUE(a.send("last"));
  ASSERT_TRUE(w.until([&] { return a.has("last confirmed"); }));
  for (const auto* name : {"first", "large", "between", "larger", "last"}) {
    EXPECT_EQ(a.outcomes(name), 1) << name;
    EXPECT_EQ(a.sequence_of_outcome[name], a.sequence_of_message[name]) << name;
  }
}

TEST_P(flow_confirmed, works_without_on_message) {
  auto opened = w.loop().open(w.options(world::fresh_group("deaf")), {});
  ASSERT_TRUE(opened);
  a.h = *opened;
  ASSERT_TRUE(w.until([&] { return a.h.state() == handle_state::joined; }));
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(a.send(std::to_string(i)));
  }
  ASSERT_TRUE(w.until([&] { return a.has("19 confirmed"); }));
  EXPECT_EQ(a.sequence_of_outcome["19"], 20U);
}

TEST_P(flow_confirmed, all_run_before_the_state_left) {
  open();
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(a.send(std::to_string(i), 1000));
  }
  ASSERT_TRUE(a.h.leave());
  EXPECT_EQ(a.send("late").error(), errc::not_joined);
  ASSERT_TRUE(w.until([&] { return a.has("left"); }));
  const auto heard = a.reported();
  EXPECT_EQ(heard.back(), "left");
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(a.count(fmt::format("{} confirmed", i)), 1) << i;
  }
  EXPECT_EQ(a.outcomes("late"), 0);
}

TEST_P(flow_confirmed, close_reports_unknown_before_the_state_closed) {
  open();
  ASSERT_TRUE(w.loop().post([&] {
    for (int i = 0; i < 40; ++i) {
      ASSERT_TRUE(a.send(std::to_string(i)));
    }
    a.h.close();
  }));
  ASSERT_TRUE(w.until([&] { return a.has("closed"); }));
  const auto heard = a.reported();
  EXPECT_EQ(heard.back(), "closed");
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(a.outcomes(std::to_string(i)), 1) << i;
    EXPECT_EQ(a.count(fmt::format("{} unknown", i)), 1) << i;
  }
}

TEST_P(flow_confirmed, a_confirmation_that_throws_closes_its_handle_and_the_others_still_run) {
  open();
  ASSERT_TRUE(a.send("before"));
  ASSERT_TRUE(a.h.multicast_confirmed("thrower/", patience,
                                      [](const multicast_outcome&) { throw std::runtime_error("no"); }));
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(a.send(std::to_string(i)));
  }
  ASSERT_TRUE(w.until([&] { return a.has("closed"); }));
  EXPECT_TRUE(a.has("before confirmed"));
  EXPECT_EQ(a.reported().back(), "closed");
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(a.outcomes(std::to_string(i)), 1) << i;
  }
}

TEST_P(flow_confirmed, refuses_invalid_arguments_and_states) {
  open();
  EXPECT_EQ(a.send("a", 0, 0ms).error(), errc::invalid_param);
  EXPECT_EQ(a.send("b", 0, -1ms).error(), errc::invalid_param);
  EXPECT_EQ(a.send("b", 0, std::chrono::milliseconds::max()).error(), errc::invalid_param);
  EXPECT_EQ(a.send("b", 0, handle::confirmation_deadline_max + 1ms).error(), errc::invalid_param);
  EXPECT_EQ(a.h.multicast_confirmed("c", patience, {}).error(), errc::invalid_param);
  listener b;
  auto opened = w.loop().open(w.options(), b.record());
  ASSERT_TRUE(opened);
  b.h = *opened;
  ASSERT_TRUE(w.until([&] { return b.has("ready"); }));
  EXPECT_EQ(b.send("d").error(), errc::not_joined);
  std::thread([&] { EXPECT_EQ(b.send("e").error(), errc::not_joined); }).join();
  EXPECT_EQ(handle().multicast_confirmed("f", patience, [](const multicast_outcome&) {}).error(),
            errc::bad_handle);
  a.h.close();
  ASSERT_TRUE(w.until([&] { return a.has("closed"); }));
  EXPECT_EQ(a.send("g").error(), errc::bad_handle);
  for (const auto* name : {"a", "b", "d", "e", "g"}) {
    EXPECT_EQ(a.outcomes(name) + b.outcomes(name), 0) << name;
  }
}

TEST_P(flow_confirmed, is_bounded_by_send_queue_bytes_until_confirmations_free_room) {
  open([](handle_options& o) { o.send_queue_bytes = 20000; });
  std::size_t accepted = 0;
  ASSERT_TRUE(w.loop().post([&] {
    while (a.send(std::to_string(accepted), 872)) {  // counts 1000 bytes with its overhead
      ++accepted;
      ASSERT_LT(accepted, 1000U);
    }
  }));
  ASSERT_TRUE(w.until([&] { return accepted != 0 && a.has(fmt::format("{} confirmed", accepted - 1)); }));
  EXPECT_EQ(accepted, 20U);
  ASSERT_TRUE(w.until([&] { return a.writable != 0; }));
  ASSERT_TRUE(a.send("again", 19000));
  ASSERT_TRUE(w.until([&] { return a.has("again confirmed"); }));
}

TEST(flow_confirmed_order, runs_after_its_message_on_the_same_worker_under_every_ordering) {
  for (const ordering order :
       {ordering::by_handle, ordering::by_sender, ordering::by_key, ordering::unordered}) {
    world w(wakeup::automatic, [](engine_options& o) { o.workers = 3; });
    listener a;
    auto options = w.options(world::fresh_group("ordering"));
    options.order = order;
    options.key = [](const message& m) { return std::hash<std::string_view>()(m.text()); };
    std::mutex lock;
    std::map<std::string, std::thread::id> ran_on;
    auto calls = a.record();
    calls.on_message = [&](handle&, const message& m) {
      const std::lock_guard guard(lock);
      ran_on[std::string(m.text())] = std::this_thread::get_id();
    };
    auto opened = w.loop().open(options, std::move(calls));
    ASSERT_TRUE(opened);
    a.h = *opened;
    ASSERT_TRUE(w.until([&] { return a.has("joined"); }));
    std::atomic<int> reported{0};
    for (int i = 0; i < 400; ++i) {
      const auto name = std::to_string(i);
      ASSERT_TRUE(a.h.multicast_confirmed(name, patience, [&, name](const multicast_outcome& o) {
        const std::lock_guard guard(lock);
        EXPECT_TRUE(o);
        EXPECT_EQ(ran_on[name], std::this_thread::get_id()) << name;
        ++reported;
      }));
    }
    ASSERT_TRUE(w.until([&] { return reported == 400; })) << reported << " under " << to_string(order);
  }
}

/// A service that takes no multicasts while one member does not read.
struct stuck_service {
  embedded_service service;
  engine idle_engine;
  handle idler;
  std::string group = world::fresh_group("stuck");

  static embedded_service_options blocking() {
    embedded_service_options o;
    o.member_backlog_bytes_max = 0;
    o.slow_member = slow_member_policy::block;
    return o;
  }
  stuck_service() : service(blocking()) {}
  handle_options options() const {
    handle_options o;
    o.service = service.name();
    o.group = group;
    o.ring_bytes = 16384;
    o.connect_deadline = o.control_deadline = patience;
    return o;
  }
  /// Opens a member that joins and reads nothing until read() is called.
  void sit_down() {
    auto opened = idle_engine.open(options(), {});
    ASSERT_TRUE(opened);
    idler = *opened;
    ASSERT_TRUE(drive(idle_engine, [this] { return idler.state() == handle_state::joined; }));
  }
  /// Lets the idle member read everything that waits, on the test's thread.
  void read() { static_cast<void>(idle_engine.dispatch(mode::all)); }
};

struct flow_confirmed_stuck : ::testing::TestWithParam<std::tuple<wakeup, std::uint32_t>> {
  stuck_service at;
  listener a;
  std::unique_ptr<engine> loop;

  void SetUp() override {
    at.sit_down();
    engine_options o;
    o.wakeup_backend = std::get<0>(GetParam());
    o.workers = std::get<1>(GetParam());
    loop = std::make_unique<engine>(o);
    auto options = at.options();
    cpgring::testing::simulate_pid(options, made_up_pid + 7777);
    auto opened = loop->open(options, a.record());
    ASSERT_TRUE(opened);
    a.h = *opened;
    ASSERT_TRUE(until([&] { return a.has("joined"); }));
  }
  bool until(const std::function<bool()>& condition) { return drive(*loop, condition); }
  /// Sends more than the idle member's ring, the service and the request ring hold together.
  int send_many(std::chrono::milliseconds deadline) {
    for (int i = 0; i < 300; ++i) {
      EXPECT_TRUE(a.send(std::to_string(i), 1000, deadline));
    }
    return 300;
  }
};
INSTANTIATE_TEST_SUITE_P(on, flow_confirmed_stuck,
                         ::testing::Combine(::testing::ValuesIn(backends_here()), ::testing::Values(0U, 2U)),
                         name_of);

TEST_P(flow_confirmed_stuck, never_sends_what_the_service_did_not_take_by_the_deadline) {
  const int sent = send_many(300ms);
  ASSERT_TRUE(a.send("patient", 100, patience));
  ASSERT_TRUE(until([&] { return a.outcomes(std::to_string(sent - 1)) == 1; }));
  std::set<std::string> unsent, unknown;
  for (int i = 0; i < sent; ++i) {
    const auto name = std::to_string(i);
    ASSERT_EQ(a.outcomes(name), 1) << name;
    if (a.has(name + " not sent")) {
      unsent.insert(name);
    } else if (a.has(name + " unknown")) {
      unknown.insert(name);
    }
    if (!a.has(name + " confirmed")) {
      EXPECT_EQ(a.cause[name], make_error_code(errc::timeout));
    }
  }
  EXPECT_FALSE(unsent.empty()) << "300 messages exceed the request ring";
  EXPECT_EQ(a.outcomes("patient"), 0);
  ASSERT_TRUE(until([this] {
    at.read();
    return a.has("patient confirmed");
  }));
  for (const auto& name : unsent) {
    EXPECT_FALSE(a.has("m " + name)) << name << " was reported as not sent";
  }
  for (const auto& name : unknown) {
    EXPECT_TRUE(a.has("m " + name)) << name << " was taken by the service";
    EXPECT_EQ(a.outcomes(name), 1);
  }
}

TEST_P(flow_confirmed_stuck, a_lost_service_reports_each_multicast_once) {
  const int sent = send_many(patience);
  ASSERT_TRUE(until([&] { return a.h.stats().multicasts != 0; }));
  at.service.stop();
  ASSERT_TRUE(until([&] { return a.has("lost"); }));
  EXPECT_EQ(a.reported().back(), "lost");
  int unsent = 0;
  for (int i = 0; i < sent; ++i) {
    const auto name = std::to_string(i);
    EXPECT_EQ(a.outcomes(name), 1) << name;
    EXPECT_EQ(a.has(name + " confirmed"), a.has("m " + name)) << name;
    unsent += a.has(name + " not sent") ? 1 : 0;
  }
  EXPECT_GT(unsent, 0);
}

TEST_P(flow_confirmed_stuck, shut_down_counts_unsent_multicasts_and_reports_each_once) {
  const int sent = send_many(patience);
  ASSERT_TRUE(until([&] { return a.h.stats().multicasts != 0; }));
  std::thread other(
      [this] { ASSERT_TRUE(a.send("crossed")); });  // is in the intake queue when the engine shuts down
  other.join();
  const auto report = loop->shut_down(50ms);
  EXPECT_EQ(report.handles, 1U);
  EXPECT_EQ(report.unanswered, 1U);
  EXPECT_FALSE(report.clean());
  std::uint64_t unsent = 0;
  for (int i = 0; i < sent; ++i) {
    const auto name = std::to_string(i);
    EXPECT_EQ(a.outcomes(name), 1) << name;
    unsent += a.has(name + " not sent") ? 1U : 0U;
  }
  EXPECT_EQ(a.count("crossed not sent"), 1);
  EXPECT_EQ(report.unsent, unsent + 1);
  EXPECT_EQ(report.unsent_bytes, unsent * 1000 + 8);
  const auto again = loop->shut_down(1s);
  EXPECT_TRUE(again.clean());
  EXPECT_EQ(again.handles, 0U);
  EXPECT_EQ(a.h.multicast("x").error(), errc::bad_handle);
}

TEST_P(flow_confirmed, shut_down_flushes_multicasts_of_other_threads) {
  open();
  listener watcher;
  engine other_engine;
  auto options = w.options(a.h.group());
  cpgring::testing::simulate_pid(options, made_up_pid + 4711);
  auto opened = other_engine.open(options, watcher.record());
  ASSERT_TRUE(opened);
  ASSERT_TRUE(other_engine.start());
  ASSERT_TRUE(w.until([&] { return watcher.has("joined"); }));
  std::thread([this] {
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(a.h.multicast(std::to_string(i) + "/"));
    }
    ASSERT_TRUE(a.send("confirmed"));
  }).join();
  const auto report =
      w.loop().shut_down(std::chrono::milliseconds::max());  // returns as soon as everything is sent
  EXPECT_TRUE(report.clean()) << report.unanswered << ' ' << report.unsent;
  ASSERT_TRUE(eventually([&] { return watcher.has("m confirmed"); }));
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(watcher.has(fmt::format("m {}", i))) << i;
  }
  EXPECT_EQ(a.outcomes("confirmed"), 1);
  EXPECT_TRUE(a.has("confirmed unknown"));
  other_engine.stop();
}

}  // namespace
}  // namespace cpgring::test
