// Threads that ask a handle for something while its engine ends: each call is refused, or answered once, whatever the moment.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;

struct end_race : testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, end_race, testing::ValuesIn(backends_here()), backend_name);

TEST_P(end_race, each_call_that_was_accepted_is_answered_once) {
  constexpr int engines = 40;
  constexpr std::size_t threads = 4;
  for (int i = 0; i < engines; ++i) {
    std::atomic<std::uint64_t> accepted{0}, answered{0};
    engine_options o;
    o.wakeup_backend = GetParam();
    auto loop = std::make_unique<engine>(o);
    ASSERT_TRUE(loop->start());
    handle_options h;
    h.service = "cpgring-nobody";  // nothing to be closed at the end: it comes at once
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
              t % 2 == 0 ? self.multicast_confirmed(std::as_bytes(std::span("x", 1)), 60s, [&](const multicast_outcome&) { ++answered; })
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
    std::this_thread::sleep_for(std::chrono::microseconds(37 * (i % 11)));  // the end meets another moment each time
    loop.reset();
    for (auto& one : asking) {
      one.join();
    }
    opened = fail(errc::closed);  // the last that refers to the engine
    ASSERT_EQ(answered, accepted) << "engine " << i;
  }
}

}  // namespace
}  // namespace cpgring::test
