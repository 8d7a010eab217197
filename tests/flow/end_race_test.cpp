// Threads make requests on a handle while its engine ends: each call is refused, or its completion runs once,
// at any moment.
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <tuple>
#include <vector>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;

struct end_race : ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, end_race, ::testing::ValuesIn(backends_here()), backend_name);

TEST_P(end_race, each_accepted_call_is_answered_once) {
  constexpr int engines = 40;
  constexpr std::size_t threads = 4;
  for (int i = 0; i < engines; ++i) {
    std::atomic<std::uint64_t> accepted{0}, answered{0};
    engine_options o;
    o.wakeup_backend = GetParam();
    auto loop = std::make_unique<engine>(o);
    ASSERT_TRUE(loop->start());
    handle_options h;
    h.service = "cpgring-nobody";  // no connection, so the engine's end does not wait
    h.supervision.reconnect = true;
    h.supervision.queue_bytes = 1 << 20;
    auto opened = loop->open(h, {});
    ASSERT_TRUE(opened);
    std::atomic<bool> all_ask{false};
    std::vector<std::thread> asking;
    for (std::size_t t = 0; t < threads; ++t) {
      asking.emplace_back([&, t, self = *opened]() mutable {
        for (bool refused_for_good = false; !refused_for_good;) {
          const auto asked =
              t % 2 == 0 ? self.multicast_confirmed(std::as_bytes(std::span("x", 1)), 60s,
                                                    [&](const multicast_outcome&) { ++answered; })
                         : self.query_groups([&](const result<std::vector<group_entry>>&) { ++answered; });
          accepted += asked ? 1U : 0U;
          refused_for_good = !asked && asked.error() == errc::bad_handle;
          all_ask = true;
        }
      });
    }
    while (!all_ask) {
      std::this_thread::yield();
    }
    // The end comes at another moment in each run.
    std::this_thread::sleep_for(std::chrono::microseconds(37 * (i % 11)));
    loop.reset();
    for (auto& one : asking) {
      one.join();
    }
    opened = fail(errc::closed);  // releases the last reference to the engine
    ASSERT_EQ(answered, accepted) << "engine " << i;
  }
}

struct end_of_busy : ::testing::TestWithParam<std::tuple<wakeup, std::uint32_t>> {};
INSTANTIATE_TEST_SUITE_P(on, end_of_busy,
                         ::testing::Combine(::testing::ValuesIn(backends_here()), ::testing::Values(0U, 2U)),
                         [](const ::testing::TestParamInfo<std::tuple<wakeup, std::uint32_t>>& p) {
                           return std::string(to_string(std::get<0>(p.param))) +
                                  (std::get<1>(p.param) == 0 ? "_inline" : "_workers");
                         });

TEST_P(end_of_busy, each_accepted_call_of_a_busy_handle_is_answered_once) {
  constexpr int engines = 12;
  world w;  // provides the service
  for (int i = 0; i < engines; ++i) {
    std::atomic<std::uint64_t> accepted{0}, answered{0}, delivered{0};
    engine_options o;
    o.wakeup_backend = std::get<0>(GetParam());
    o.workers = std::get<1>(GetParam());
    auto loop = std::make_unique<engine>(o);
    ASSERT_TRUE(loop->start());
    std::atomic<bool> gone{false};
    std::mutex kept_lock;
    std::vector<lease> kept;
    callbacks calls;
    calls.on_message = [&](handle& self, const message& m) {
      if (++delivered % 16 == 0) {
        if (auto taken = m.retain()) {
          const std::lock_guard lock(kept_lock);
          kept.push_back(std::move(*taken));
        }
      }
      static_cast<void>(self.stats());
    };
    calls.on_state = [](handle&, const state_change& s) {
      if (s.to == handle_state::lost) {
        ADD_FAILURE() << s.cause->message();
      }
    };
    auto opened = loop->open(w.options(world::fresh_group("busy")), std::move(calls));
    ASSERT_TRUE(opened);
    ASSERT_TRUE(eventually([&] { return opened->state() == handle_state::joined; }));

    // Each call returns whether the handle still has an engine.
    const auto there = [](const result<void>& asked) { return asked || asked.error() != errc::bad_handle; };
    const auto owed = [&](const result<void>& asked) {
      accepted += asked ? 1U : 0U;
      return there(asked);
    };
    const std::string large(3000, 'l');
    const std::function<bool(handle&)> each[] = {
        [&](handle& h) {
          return owed(h.multicast_confirmed(std::as_bytes(std::span("y", 1)), 60s,
                                            [&](const multicast_outcome&) { ++answered; }));
        },
        [&](handle& h) {
          return owed(
              h.query_members(h.group(), [&](const result<std::vector<member_address>>&) { ++answered; }));
        },
        [&, sent = std::uint64_t{0}](handle& h) mutable {
          if (sent > delivered + 1000) {  // avoids overload
            std::this_thread::yield();
            return !gone;
          }
          const auto asked = h.multicast(large);
          sent += asked ? 1U : 0U;
          return there(asked);
        },
        [&](handle& h) {
          const std::lock_guard lock(kept_lock);
          static_cast<void>(h.stats());
          kept.clear();
          return !gone;
        },
    };
    std::vector<std::thread> asking;
    for (const auto& ask : each) {
      asking.emplace_back([&ask, self = *opened]() mutable {
        while (ask(self)) {
        }
      });
    }
    ASSERT_TRUE(eventually([&] { return delivered > 64 || ::testing::Test::HasFailure(); }));
    loop.reset();
    gone = true;
    for (auto& one : asking) {
      one.join();
    }
    EXPECT_EQ(answered, accepted) << "engine " << i;
  }
}

}  // namespace
}  // namespace cpgring::test
