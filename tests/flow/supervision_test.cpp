// A supervised handle outlives its service. It reports, in this order: the messages delivered before the
// loss, lost, restored, and the views and messages of its group again.
#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// An embedded service that can stop and restart under its name, and an engine with inline callbacks or
/// workers.
struct supervised : ::testing::TestWithParam<std::tuple<wakeup, std::uint32_t>> {
  std::string name = world::fresh_group("service");
  std::unique_ptr<embedded_service> service;
  std::unique_ptr<engine> loop;
  std::mutex lock;
  std::vector<std::string> heard;
  std::vector<std::string> log;
  handle h;
  std::string group = world::fresh_group("supervised");

  void SetUp() override {
    engine_options o;
    o.wakeup_backend = std::get<0>(GetParam());
    o.workers = std::get<1>(GetParam());
    o.log = [this](log_level, std::string_view text) {
      const std::lock_guard guard(lock);
      log.emplace_back(text);
    };
    loop = std::make_unique<engine>(o);
  }
  void TearDown() override {
    loop.reset();
    service.reset();
    if (HasFailure()) {
      for (const auto& line : log) {
        printf("log: %s\n", line.c_str());
      }
      for (const auto& line : heard) {
        printf("heard: %s\n", line.c_str());
      }
    }
  }
  void serve() {
    embedded_service_options o;
    o.name = name;
    service = std::make_unique<embedded_service>(o);
  }
  void note(std::string what) {
    const std::lock_guard guard(lock);
    heard.push_back(std::move(what));
  }
  callbacks record() {
    callbacks c;
    c.on_message = [this](handle&, const message& m) { note("message " + std::string(m.text())); };
    c.on_view = [this](handle&, const view& v) {
      if (v.cause == view_cause::membership) {
        note("view of " + std::to_string(v.members.size()));
      }
    };
    c.on_state = [this](handle& me, const state_change& s) {
      EXPECT_EQ(me, h);
      note(std::string(to_string(s.to)));
    };
    c.on_restored = [this](handle& me, const restoration& r) {
      EXPECT_EQ(me, h);
      EXPECT_GE(r.attempts, 1U);
      EXPECT_GT(r.away.count(), 0);
      note("restored");
    };
    return c;
  }
  handle_options options() {
    handle_options o;
    o.service = name;
    o.group = group;
    o.ring_bytes = 65536;
    o.supervision.reconnect = true;
    o.supervision.backoff_min = 1ms;
    o.supervision.backoff_max = 20ms;
    return o;
  }
  void open(handle_options o) {
    auto opened = loop->open(o, record());
    ASSERT_TRUE(opened) << opened.error().message();
    h = *opened;
  }
  std::vector<std::string> reported() {
    const std::lock_guard guard(lock);
    return heard;
  }
  bool has(const std::string& what, std::ptrdiff_t times = 1) {
    const auto all = reported();
    return std::count(all.begin(), all.end(), what) >= times;
  }
  bool until(const std::function<bool()>& condition) { return drive(*loop, condition); }
};

TEST_P(supervised, rejoins_its_group_under_the_same_handle) {
  serve();
  open(options());
  ASSERT_TRUE(until([&] { return has("joined"); }));
  ASSERT_TRUE(h.multicast("before"));
  ASSERT_TRUE(until([&] { return has("message before"); }));
  service.reset();
  ASSERT_TRUE(until([&] { return has("lost"); }));
  const auto refused = h.multicast("meanwhile");
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error() == errc::service_lost || refused.error() == errc::not_joined)
      << refused.error().message();
  serve();
  ASSERT_TRUE(until([&] { return has("joined", 2); }));
  EXPECT_EQ(h.state(), handle_state::joined);
  EXPECT_EQ(h.group(), group);
  ASSERT_TRUE(h.multicast("after"));
  ASSERT_TRUE(until([&] { return has("message after"); }));
  EXPECT_THAT(reported(),
              ElementsAre("ready", "joining", "view of 1", "joined", "message before", "lost", "ready",
                          "restored", "joining", "view of 1", "joined", "message after"));
  EXPECT_EQ(h.stats().messages, 2U) << "counts over all connections of the handle";
  EXPECT_EQ(h.stats().multicasts, 2U);
  EXPECT_EQ(loop->stats().handles, 1U);
}

TEST_P(supervised, waits_for_a_service_that_has_not_started) {
  open(options());
  ASSERT_TRUE(until([&] {
    const std::lock_guard guard(lock);
    return log.size() >= 3;
  }));
  EXPECT_THAT(reported(), IsEmpty());
  EXPECT_EQ(h.state(), handle_state::connecting);
  serve();
  ASSERT_TRUE(until([&] { return has("joined"); }));
  EXPECT_THAT(reported(), ElementsAre("ready", "joining", "view of 1", "joined"))
      << "no loss, so no restoration";
}

TEST_P(supervised, gives_up_after_attempts_max) {
  auto o = options();
  o.supervision.attempts_max = 3;
  open(o);
  ASSERT_TRUE(until([&] { return has("lost"); }));
  EXPECT_EQ(h.state(), handle_state::lost);
  const auto refused = h.multicast("x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::bad_handle);
  EXPECT_EQ(loop->stats().handles, 0U);
  // The first failure has its own line, the two others share one.
  EXPECT_TRUE(until([&] {
    const std::lock_guard guard(lock);
    return std::any_of(log.begin(), log.end(),
                       [](const auto& line) { return line.find("2 more losses") != std::string::npos; });
  }));
}

TEST_P(supervised, survives_many_losses) {
  serve();
  open(options());
  for (int i = 1; i <= 10; ++i) {
    ASSERT_TRUE(until([&] { return has("joined", i); })) << i;
    ASSERT_TRUE(h.multicast("m" + std::to_string(i)));
    ASSERT_TRUE(until([&] { return has("message m" + std::to_string(i)); })) << i;
    service.reset();
    ASSERT_TRUE(until([&] { return has("lost", i); })) << i;
    serve();
  }
  ASSERT_TRUE(until([&] { return has("joined", 11); }));
  EXPECT_TRUE(has("restored", 10));
  EXPECT_EQ(h.stats().messages, 10U);
}

TEST_P(supervised, queues_multicasts_while_away_and_sends_them_in_order) {
  auto o = options();
  o.supervision.queue_bytes = 100;
  open(o);
  ASSERT_TRUE(h.multicast("first, long before there is a service"));
  serve();
  ASSERT_TRUE(until([&] { return has("joined"); }));
  service.reset();
  ASSERT_TRUE(until([&] { return has("lost"); }));
  ASSERT_TRUE(h.multicast("second"));
  ASSERT_TRUE(h.multicast("third"));
  const auto refused = h.multicast(std::string(90, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::try_again) << "beyond queue_bytes";
  EXPECT_THAT(refused.error().message(), HasSubstr("until the handle has joined"));
  serve();
  ASSERT_TRUE(until([&] { return has("joined", 2); }));
  ASSERT_TRUE(h.multicast("fourth"));
  ASSERT_TRUE(until([&] { return has("message fourth"); }));
  auto all = reported();
  std::erase_if(all, [](const auto& one) { return one.find("message") == std::string::npos; });
  EXPECT_THAT(all, ElementsAre("message first, long before there is a service", "message second",
                               "message third", "message fourth"));
}

TEST_P(supervised, can_be_closed_between_two_connections) {
  serve();
  open(options());
  ASSERT_TRUE(until([&] { return has("joined"); }));
  service.reset();
  ASSERT_TRUE(until([&] { return has("lost"); }));
  h.close();
  ASSERT_TRUE(until([&] { return has("closed"); }));
  EXPECT_EQ(h.state(), handle_state::closed);
  EXPECT_EQ(loop->stats().handles, 0U);
  serve();
  static_cast<void>(loop->dispatch(mode::blocking, budget{0, 0, 100ms}));
  EXPECT_EQ(reported().back(), "closed");
  EXPECT_EQ(service->stats().connections_total, 0U);
}

TEST_P(supervised, does_not_rejoin_after_a_leave_until_join_is_called) {
  serve();
  open(options());
  ASSERT_TRUE(until([&] { return has("joined"); }));
  ASSERT_TRUE(h.leave());
  ASSERT_TRUE(until([&] { return has("left"); }));
  std::string outcome = "none";
  ASSERT_TRUE(h.join(group + "-2", [&](const result<void>& r) {
    note(r ? "join done" : "join failed: " + r.error().message());
  }));
  ASSERT_TRUE(until([&] { return has("joined", 2) && has("join done"); }));
  EXPECT_EQ(h.group(), group + "-2");
  ASSERT_TRUE(h.multicast("there"));
  ASSERT_TRUE(until([&] { return has("message there"); }));
  EXPECT_FALSE(has("restored")) << "no loss, so no restoration";
  EXPECT_FALSE(has("closed"));
  // After a loss the handle rejoins the second group.
  service.reset();
  ASSERT_TRUE(until([&] { return has("lost"); }));
  serve();
  ASSERT_TRUE(until([&] { return has("joined", 3); }));
  EXPECT_EQ(h.group(), group + "-2");
}

TEST_P(supervised, is_ready_but_not_joined_when_the_service_returns_after_a_leave) {
  serve();
  open(options());
  ASSERT_TRUE(until([&] { return has("joined"); }));
  ASSERT_TRUE(h.leave());
  ASSERT_TRUE(until([&] { return has("left"); }));
  service.reset();
  ASSERT_TRUE(until([&] { return has("lost"); }));
  serve();
  ASSERT_TRUE(until([&] { return has("restored"); }));
  EXPECT_EQ(h.state(), handle_state::ready);
  ASSERT_TRUE(h.join(group));
  ASSERT_TRUE(until([&] { return has("joined", 2); }));
}

TEST_P(supervised, closes_with_its_engine_in_every_state) {
  for (int step = 0; step < 4; ++step) {
    SetUp();
    heard.clear();
    if (step != 0) {
      serve();
    }
    open(options());
    if (step >= 1) {
      ASSERT_TRUE(until([&] { return has("joined"); }));
    }
    if (step >= 2) {
      service.reset();
      ASSERT_TRUE(until([&] { return has("lost"); }));
    }
    if (step == 3) {
      serve();
      ASSERT_TRUE(until([&] { return has("restored"); }));
    }
    loop.reset();
    EXPECT_EQ(h.state(), handle_state::closed) << step;
    EXPECT_FALSE(h.multicast("x"));
    service.reset();
  }
}

TEST_P(supervised, retries_when_its_group_refuses_the_rejoin) {
  serve();
  open(options());
  ASSERT_TRUE(until([&] { return has("joined"); }));
  service.reset();
  ASSERT_TRUE(until([&] { return has("lost"); }));
  // Another handle of this process joins first: CPG lets a process be in a group once.
  serve();
  engine other;
  handle_options o;
  o.service = name;
  o.group = group;
  o.ring_bytes = 65536;
  auto quicker = other.open(o, {});
  ASSERT_TRUE(quicker);
  ASSERT_TRUE(eventually([&] {
    static_cast<void>(other.dispatch(mode::all));
    return quicker->state() == handle_state::joined;
  }));
  ASSERT_TRUE(until([&] { return has("lost", 3); })) << "refused, then retried";
  EXPECT_FALSE(has("joined", 2));
  quicker->close();
  ASSERT_TRUE(until([&] {
    static_cast<void>(other.dispatch(mode::all));
    return has("joined", 2);
  }));
}

TEST_P(supervised, keeps_leases_of_a_lost_connection) {
  serve();
  auto o = options();
  lease kept;
  auto calls = record();
  calls.on_message = [&](handle&, const message& m) {
    const std::lock_guard guard(lock);
    if (auto taken = m.retain()) {
      kept = std::move(*taken);
    }
    heard.push_back("message " + std::string(m.text()));
  };
  auto opened = loop->open(o, std::move(calls));
  ASSERT_TRUE(opened);
  h = *opened;
  ASSERT_TRUE(until([&] { return has("joined"); }));
  ASSERT_TRUE(h.multicast("of the first life"));
  ASSERT_TRUE(until([&] { return has("message of the first life"); }));
  service.reset();
  ASSERT_TRUE(until([&] { return has("lost"); }));
  const auto copied = h.stats().copied_out;
  EXPECT_EQ(h.stats().shm_bytes, 0U) << "the rings of the lost connection are unmapped";
  serve();
  ASSERT_TRUE(until([&] { return has("joined", 2); }));
  EXPECT_EQ(kept.pin().text(), "of the first life");
  EXPECT_GE(h.stats().copied_out, copied) << "a counter never decreases";
  EXPECT_GT(h.stats().shm_bytes, 0U);
  kept.release();
  ASSERT_TRUE(h.multicast("of the second"));
  ASSERT_TRUE(until([&] { return has("message of the second"); }));
  EXPECT_EQ(h.stats().leases, 1U) << "only leases of the present connection count";
  kept.release();
}

TEST_P(supervised, reports_lost_before_any_event_of_the_next_connection) {
  serve();
  auto o = options();
  o.supervision.backoff_max = 1ms;  // far less than the callbacks take
  auto calls = record();
  calls.on_message = [&](handle&, const message& m) {
    std::this_thread::sleep_for(10ms);
    note("message " + std::string(m.text()));
  };
  auto opened = loop->open(o, std::move(calls));
  ASSERT_TRUE(opened);
  h = *opened;
  if (std::get<1>(GetParam()) == 0) {
    // The loss is reported by a task that waits behind others; each dispatch takes one event.
    ASSERT_TRUE(until([&] { return has("joined"); }));
    service.reset();
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(loop->post([] { std::this_thread::sleep_for(200us); }));
    }
    serve();
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!has("joined", 2) && std::chrono::steady_clock::now() < end) {
      static_cast<void>(loop->dispatch(mode::one_nonblocking));
    }
  } else {
    // The report of the loss waits for a worker that still has messages of the lost connection.
    ASSERT_TRUE(loop->start());
    ASSERT_TRUE(eventually([&] { return has("joined"); }));
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(h.multicast(std::to_string(i)));
    }
    ASSERT_TRUE(eventually([&] { return has("message 0"); }));
    service.reset();
    serve();
    EXPECT_TRUE(eventually([&] { return has("joined", 2); }));
  }
  const auto all = reported();
  const auto lost = std::find(all.begin(), all.end(), "lost");
  ASSERT_NE(lost, all.end()) << "a short outage of the service was not reported";
  EXPECT_EQ(std::count(all.begin(), lost, "ready"), 1) << "ready of the next connection came before lost";
  EXPECT_EQ(std::count(all.begin(), lost, "restored"), 0);
  EXPECT_TRUE(std::none_of(lost, all.end(),
                           [](const auto& one) { return one.find("message") != std::string::npos; }));
}

TEST_P(supervised, accepts_calls_from_other_threads_during_losses) {
  serve();
  auto o = options();
  o.supervision.queue_bytes = 1 << 20;
  open(o);
  ASSERT_TRUE(loop->start());
  ASSERT_TRUE(eventually([&] { return has("joined"); }));
  std::atomic<bool> stop{false};
  std::thread sender([&] {
    for (int i = 0; !stop; ++i) {
      static_cast<void>(h.multicast("from elsewhere " + std::to_string(i)));
      static_cast<void>(h.state());
      static_cast<void>(h.stats());
      static_cast<void>(h.group());
      std::this_thread::sleep_for(100us);
    }
  });
  for (int i = 1; i <= 5; ++i) {
    service.reset();
    EXPECT_TRUE(eventually([&] { return has("lost", i); })) << i;
    serve();
    EXPECT_TRUE(eventually([&] { return has("joined", i + 1); })) << i;
  }
  stop = true;
  sender.join();
  h.close();
  EXPECT_TRUE(eventually([&] { return has("closed"); }));
}

INSTANTIATE_TEST_SUITE_P(on, supervised,
                         ::testing::Combine(::testing::Values(wakeup::futex, wakeup::epoll),
                                            ::testing::Values(0U, 2U)),
                         [](const auto& p) {
                           return std::string(to_string(std::get<0>(p.param))) +
                                  (std::get<1>(p.param) == 0 ? "_inline" : "_workers");
                         });

TEST_P(supervised, keeps_a_confirmed_multicast_until_its_deadline_while_away) {
  serve();
  auto o = options();
  o.supervision.queue_bytes = 10000;
  open(o);
  ASSERT_TRUE(until([&] { return has("joined"); }));
  const auto reported = [this](const std::string& name) {
    return [this, name](const multicast_outcome& outcome) {
      note(name + " " + std::string(to_string(outcome.fate)) +
           (outcome.cause && *outcome.cause == errc::timeout ? ", timeout" : ""));
    };
  };
  service.reset();
  ASSERT_TRUE(until([&] { return has("lost"); }));
  ASSERT_TRUE(h.multicast_confirmed("short", 30ms, reported("short")));
  ASSERT_TRUE(h.multicast_confirmed("long", patience, reported("long")));
  ASSERT_TRUE(h.multicast("plain"));
  std::thread([&] { ASSERT_TRUE(h.multicast_confirmed("crossed", patience, reported("crossed"))); }).join();
  EXPECT_EQ(h.multicast_confirmed(std::string(10000, 'x'), patience, reported("too much")).error(),
            errc::try_again);
  ASSERT_TRUE(until([&] { return has("short not sent, timeout"); }));
  serve();
  ASSERT_TRUE(until([&] { return has("crossed confirmed"); }));
  const auto all = this->reported();
  EXPECT_EQ(std::count(all.begin(), all.end(), "message short"), 0);
  const auto restored = std::find(all.begin(), all.end(), "restored");
  std::vector<std::string> sent;
  std::copy_if(restored, all.end(), std::back_inserter(sent), [](const std::string& line) {
    return line.starts_with("message") || line.ends_with("confirmed");
  });
  EXPECT_THAT(sent, ElementsAre("message long", "long confirmed", "message plain", "message crossed",
                                "crossed confirmed"));
}

TEST_P(supervised, reports_waiting_multicasts_as_not_sent_when_closed_while_away) {
  auto o = options();
  o.supervision.queue_bytes = 10000;
  open(o);
  int outcomes = 0;
  const auto count = [&](const multicast_outcome& outcome) {
    EXPECT_EQ(outcome.fate, multicast_fate::not_sent);
    ++outcomes;
  };
  ASSERT_TRUE(h.multicast_confirmed("one", patience, count));
  ASSERT_TRUE(h.multicast_confirmed("two", patience, count));
  ASSERT_TRUE(until([&] { return loop->stats().sleeps != 0; }));
  h.close();
  ASSERT_TRUE(until([&] { return has("closed"); }));
  EXPECT_EQ(outcomes, 2);
  EXPECT_EQ(reported().back(), "closed");
}

TEST_P(supervised, reports_waiting_multicasts_as_not_sent_when_the_engine_ends_while_away) {
  auto o = options();
  o.supervision.queue_bytes = 10000;
  open(o);
  int outcomes = 0;
  ASSERT_TRUE(h.multicast_confirmed("one", patience, [&](const multicast_outcome& outcome) {
    EXPECT_EQ(outcome.fate, multicast_fate::not_sent);
    ++outcomes;
  }));
  ASSERT_TRUE(h.multicast("plain"));
  static_cast<void>(loop->dispatch(mode::all));
  const auto report = loop->shut_down(1s);
  EXPECT_EQ(outcomes, 1);
  EXPECT_EQ(report.unsent, 2U);
  EXPECT_EQ(report.unsent_bytes, 8U);
  EXPECT_EQ(report.unanswered, 0U);
}

}  // namespace
}  // namespace cpgring::test
