// The reactor: fairness, removal of sources, timers, sleep, wake-ups from other threads, foreign loops.
#include <poll.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "reactor/reactor.hpp"
#include "unit/reactor/fake_source.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::reactor;
using namespace cpgring::reactor::test;
using loop = cpgring::reactor::reactor;

std::unique_ptr<loop> make(wakeup backend, idle strategy = idle::adaptive, std::uint32_t quantum = 65536,
                           std::uint32_t polling_max = 64) {
  reactor_options o;
  o.backend = backend;
  o.idle_strategy = strategy;
  o.expected_sources = 16;
  o.polling_max = polling_max;
  o.quantum_bytes = quantum;
  auto made = loop::create(o);
  if (!made) {
    ADD_FAILURE() << made.error().message();
    return nullptr;
  }
  return std::move(*made);
}

template <class Condition>
bool drive(loop& r, Condition condition) {
  const auto end = base::clock::now() + patience;
  while (base::clock::now() < end) {
    r.reap();
    const served done = r.serve({});
    if (condition()) {
      return true;
    }
    if (!done.more) {
      r.rest(end);
    }
  }
  return false;
}

class reactors : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(each, reactors, ::testing::ValuesIn(backends_here()),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST_P(reactors, serves_every_event_of_many_sources_with_every_idle_strategy) {
  for (const idle strategy : {idle::block, idle::adaptive, idle::spin, idle::yield}) {
    auto r = make(GetParam(), strategy, 65536, 4);
    std::vector<std::unique_ptr<fake_source>> all;
    for (int i = 0; i < 20; ++i) {
      all.push_back(std::make_unique<fake_source>());
      ASSERT_TRUE(r->add(*all.back()));
    }
    constexpr std::uint64_t each = 500;
    std::thread service([&] {
      for (std::uint64_t i = 0; i < each; ++i) {
        for (auto& s : all) {
          s->service.post();
        }
        if (i % 50 == 0) {
          std::this_thread::yield();
        }
      }
    });
    std::uint64_t sum = 0;
    EXPECT_TRUE(drive(*r,
                      [&] {
                        sum = 0;
                        for (auto& s : all) {
                          sum += s->taken;
                        }
                        return sum == each * all.size();
                      }))
        << to_string(strategy) << " took " << sum;
    service.join();
    for (auto& s : all) {
      r->remove(*s);
    }
  }
}

TEST_P(reactors, weights_divide_the_bytes_of_a_round) {
  auto r = make(GetParam(), idle::block, 1000);
  fake_source light, heavy;
  heavy.set_weight(3);
  light.ready = heavy.ready = 100000;
  ASSERT_TRUE(r->add(light));
  ASSERT_TRUE(r->add(heavy));
  r->reap();
  for (int round = 0; round < 50; ++round) {
    r->serve({});
  }
  EXPECT_EQ(light.taken, 50U * 10);
  EXPECT_EQ(heavy.taken, 50U * 30);
  r->remove(light);
  r->remove(heavy);
}

TEST_P(reactors, a_source_that_exceeds_its_quantum_pays_back_later) {
  auto r = make(GetParam(), idle::block, 4096);
  fake_source small, large;
  small.bytes_each = 100;
  large.bytes_each = 65536;  // one event is sixteen quanta
  small.ready = large.ready = 100000;
  ASSERT_TRUE(r->add(small));
  ASSERT_TRUE(r->add(large));
  r->reap();
  for (int round = 0; round < 320; ++round) {
    r->serve({});
  }
  EXPECT_GT(small.taken * small.bytes_each, large.taken * large.bytes_each / 3)
      << "large events must not starve small ones";
  EXPECT_GT(large.taken, 0U);
  r->remove(small);
  r->remove(large);
}

TEST_P(reactors, a_source_that_has_more_gets_another_turn_although_nothing_is_waiting) {
  auto r = make(GetParam(), idle::block);
  struct : fake_source {
    turn_result turn(const turn_budget& budget) override {
      turn_result done = fake_source::turn(budget);
      done.more = turns < 3;  // the rest is in no ring: a call for a worker, for example
      return done;
    }
  } one;
  ASSERT_TRUE(r->add(one));
  one.service.post();
  // As dispatch calls do whose budget is used up after each turn.
  for (int call = 0; call < 3; ++call) {
    if (call != 0) {
      r->rest(base::clock::now() + std::chrono::milliseconds(10));
    }
    r->reap();
    static_cast<void>(r->serve({}));
  }
  EXPECT_EQ(one.turns, 3);
  EXPECT_EQ(r->counters().sleeps.get(), 0U);
  r->remove(one);
}

TEST_P(reactors, a_loud_source_does_not_starve_a_hundred_quiet_ones) {
  auto r = make(GetParam());
  fake_source loud;
  loud.ready = 1000000000;
  ASSERT_TRUE(r->add(loud));
  std::vector<std::unique_ptr<fake_source>> quiet;
  for (int i = 0; i < 100; ++i) {
    quiet.push_back(std::make_unique<fake_source>());
    ASSERT_TRUE(r->add(*quiet.back()));
    quiet.back()->service.post();
  }
  r->reap();
  r->serve({});
  for (auto& s : quiet) {
    EXPECT_EQ(s->taken, 1U);
    r->remove(*s);
  }
  EXPECT_LE(loud.taken, loop::turn_events_max * 2) << "at most two turns in a round";
  r->remove(loud);
}

TEST_P(reactors, a_source_may_remove_itself_and_others_in_its_turn) {
  auto r = make(GetParam());
  auto first = std::make_unique<fake_source>(), second = std::make_unique<fake_source>(),
       third = std::make_unique<fake_source>();
  for (auto* s : {first.get(), second.get(), third.get()}) {
    ASSERT_TRUE(r->add(*s));
    s->service.post();
  }
  first->before_turn = [&] {
    r->remove(*second);
    second.reset();
    r->remove(*first);
  };
  EXPECT_TRUE(drive(*r, [&] { return third->taken == 1; }));
  EXPECT_EQ(first->turns, 1);
  first->service.post();
  third->service.post();
  EXPECT_TRUE(drive(*r, [&] { return third->taken == 2; }));
  EXPECT_EQ(first->turns, 1) << "a removed source is never served";
  r->remove(*third);
}

TEST_P(reactors, serve_can_be_limited_to_one_source) {
  auto r = make(GetParam());
  fake_source a, b;
  ASSERT_TRUE(r->add(a));
  ASSERT_TRUE(r->add(b));
  a.service.post();
  b.service.post();
  serve_limits only;
  only.only = &b;
  r->reap();
  EXPECT_EQ(r->serve(only).events, 1U);
  EXPECT_EQ(a.taken, 0U);
  EXPECT_EQ(b.taken, 1U);
  EXPECT_EQ(r->serve({}).events, 1U);
  EXPECT_EQ(a.taken, 1U);
  r->remove(a);
  r->remove(b);
}

TEST_P(reactors, a_call_ends_at_its_limits_and_reports_remaining_events) {
  auto r = make(GetParam());
  fake_source a, b;
  a.ready = b.ready = 10;
  ASSERT_TRUE(r->add(a));
  ASSERT_TRUE(r->add(b));
  serve_limits five;
  five.events = 5;
  r->reap();
  served done = r->serve(five);
  EXPECT_EQ(done.events, 5U);
  EXPECT_TRUE(done.more);
  done = r->serve({});
  EXPECT_EQ(done.events, 15U);
  EXPECT_FALSE(done.more);
  r->remove(a);
  r->remove(b);
}

TEST_P(reactors, a_hang_up_reaches_the_source_and_gives_it_a_turn) {
  auto r = make(GetParam());
  fake_source a;
  ASSERT_TRUE(r->add(a));
  ASSERT_TRUE(drive(*r, [] { return true; }));
  const int before = a.turns;
  a.service.hang_up();
  EXPECT_TRUE(drive(*r, [&] { return a.turns > before; }));
  EXPECT_EQ(a.hang_ups, 1);
  r->remove(a);
}

TEST_P(reactors, an_expected_answer_without_a_wake_up_is_noticed) {
  auto r = make(GetParam(), idle::block);
  fake_source a;
  ASSERT_TRUE(r->add(a));
  a.expects_answers(true);
  a.looks_for_answers = true;
  std::thread later([&] { a.service.answer(); });
  EXPECT_TRUE(drive(*r, [&] { return a.answers == 1; }));
  later.join();
  r->remove(a);
}

struct recorded_timer : timer {
  void expired() override {
    ++times;
    if (then) {
      then();
    }
  }
  std::function<void()> then;
  int times = 0;
};

TEST_P(reactors, timers_run_in_order_and_can_be_rescheduled_and_cancelled) {
  auto r = make(GetParam());
  recorded_timer first, second, cancelled, again;
  std::vector<int> order;
  first.then = [&] { order.push_back(1); };
  second.then = [&] { order.push_back(2); };
  again.then = [&] {
    if (again.times < 3) {
      r->schedule(again, base::clock::now() + std::chrono::milliseconds(1));
    }
  };
  const auto now = base::clock::now();
  r->schedule(second, now + std::chrono::milliseconds(4));
  r->schedule(first, now + std::chrono::hours(1));
  r->schedule(first, now + std::chrono::milliseconds(2));  // rescheduled
  r->schedule(cancelled, now + std::chrono::milliseconds(1));
  r->schedule(again, now + std::chrono::milliseconds(1));
  r->cancel(cancelled);
  EXPECT_TRUE(drive(*r, [&] { return order.size() == 2 && again.times == 3; }));
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  EXPECT_EQ(cancelled.times, 0);
  EXPECT_GE(base::clock::now(), now + std::chrono::milliseconds(4));
}

struct counting_watcher : watcher {
  void readable() override { ++times; }
  int times = 0;
};

TEST_P(reactors, a_watcher_is_called_once_and_never_after_unwatch) {
  auto r = make(GetParam());
  fake_service s, other;
  counting_watcher w, gone;
  ASSERT_TRUE(r->watch(w, s.target().fd));
  ASSERT_TRUE(r->watch(gone, other.target().fd));
  r->unwatch(gone);
  s.post();
  other.post();
  EXPECT_TRUE(drive(*r, [&] { return w.times == 1; }));
  s.post();
  recorded_timer later;
  r->schedule(later, base::clock::now() + std::chrono::milliseconds(5));
  EXPECT_TRUE(drive(*r, [&] { return later.times == 1; }));
  EXPECT_EQ(w.times, 1);
  EXPECT_EQ(gone.times, 0);
}

/// An intake queue reduced to a counter.
struct counting_intake {
  std::atomic<std::uint64_t> posted{0};
  std::uint64_t taken = 0;
  intake as_intake() {
    return {this,
            [](void* self) {
              auto& i = *static_cast<counting_intake*>(self);
              i.taken = i.posted.load(std::memory_order_acquire);
              return true;
            },
            [](void* self) noexcept {
              auto& i = *static_cast<counting_intake*>(self);
              return i.posted.load(std::memory_order_acquire) != i.taken;
            }};
  }
};

TEST_P(reactors, a_wake_up_from_another_thread_is_never_lost) {
  for (const idle strategy : {idle::block, idle::adaptive}) {
    auto r = make(GetParam(), strategy);
    counting_intake in;
    r->set_intake(in.as_intake());
    constexpr std::uint64_t each = 3000;
    std::vector<std::thread> wakers;
    for (int i = 0; i < 3; ++i) {
      wakers.emplace_back([&] {
        for (std::uint64_t k = 0; k < each; ++k) {
          in.posted.fetch_add(1, std::memory_order_release);
          r->wake();
          if (k % 7 == 0) {
            std::this_thread::yield();  // gives the reactor a chance to sleep
          }
        }
      });
    }
    EXPECT_TRUE(drive(*r, [&] { return in.taken == 3 * each; })) << in.taken;
    for (auto& w : wakers) {
      w.join();
    }
    EXPECT_GT(r->counters().sleeps.get(), 0U);
  }
}

TEST_P(reactors, sleeps_without_interruption_while_200_sources_are_idle) {
  auto r = make(GetParam(), idle::adaptive);
  std::vector<std::unique_ptr<fake_source>> all;
  for (int i = 0; i < 200; ++i) {
    all.push_back(std::make_unique<fake_source>());
    ASSERT_TRUE(r->add(*all.back()));
  }
  // The time until the reactor settles depends on the machine.
  std::uint64_t sleeps = UINT64_MAX;
  for (int times = 0; sleeps > 3 && times < 50; ++times) {
    recorded_timer end;
    const auto before = r->counters().sleeps.get();
    r->schedule(end, base::clock::now() + std::chrono::milliseconds(200));
    ASSERT_TRUE(drive(*r, [&] { return end.times == 1; }));
    sleeps = r->counters().sleeps.get() - before;
  }
  EXPECT_LE(sleeps, 3U) << "one sleep until the timer";
  for (auto& s : all) {
    r->remove(*s);
  }
}

TEST_P(reactors, a_foreign_loop_is_called_for_events_timers_and_wakers) {
  auto r = make(GetParam());
  counting_intake in;
  r->set_intake(in.as_intake());
  fake_source a;
  ASSERT_TRUE(r->add(a));
  recorded_timer t;
  const auto round = [&] {
    r->reap();
    r->serve({});
    r->prepare_foreign_wait();
  };
  const auto readable = [&] {
    pollfd p{r->pollable_fd(), POLLIN, 0};
    return ::poll(&p, 1, 60000) == 1;
  };
  const auto until = [&](auto condition) {
    const auto deadline = base::clock::now() + patience;
    while (!condition() && base::clock::now() < deadline && readable()) {
      round();
    }
    return condition();
  };
  round();
  a.service.post();
  EXPECT_TRUE(until([&] { return a.taken == 1; }));
  r->schedule(t, base::clock::now() + std::chrono::milliseconds(5));
  r->prepare_foreign_wait();
  EXPECT_TRUE(until([&] { return t.times == 1; }));
  std::thread other([&] {
    in.posted.fetch_add(1, std::memory_order_release);
    r->wake();
  });
  EXPECT_TRUE(until([&] { return in.taken == 1; }));
  other.join();
  for (int i = 0; i < 10; ++i) {  // serves the last events
    round();
  }
  pollfd p{r->pollable_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&p, 1, 0), 0) << "without work the descriptor is not readable";
  r->remove(a);
}

}  // namespace
