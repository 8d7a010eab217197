// The open loop has no coordinated omission: while a service stalls, messages are still due, and their
// lateness is in the percentiles.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "support/command.hpp"
#include "support/open_loop.hpp"
#include "support/our_side.hpp"

namespace cpgring::bench {
namespace {

constexpr std::uint64_t ms = 1000000;

struct virtual_clock {
  inline static std::uint64_t time = 0;
  static std::uint64_t now() noexcept { return time; }
};

enum class stall { refuses, blocks_the_sender, delivers_late };

/// A service in virtual time that delivers at once, but stalls between two moments.
class stalling_side {
 public:
  stalling_side(stall how, std::uint64_t from, std::uint64_t until)
      : how_(how), from_(virtual_clock::time + from), until_(virtual_clock::time + until) {}

  bool multicast(std::size_t, std::string_view payload) {
    if (stalled()) {
      if (how_ == stall::refuses) {
        return false;
      }
      if (how_ == stall::blocks_the_sender) {
        virtual_clock::time = until_;
      }
    }
    std::uint64_t due = 0;
    std::memcpy(&due, payload.data(), sizeof due);
    waiting_.push_back(due);
    return true;
  }
  void take_until(std::uint64_t deadline) {
    deliver();
    if (stalled() && until_ < deadline) {
      virtual_clock::time = until_;
      deliver();
    }
    virtual_clock::time = std::max(virtual_clock::time, deadline);
  }
  void measure_latency(histogram* into) { latency_ = into; }
  [[nodiscard]] std::uint64_t received() const { return received_; }
  [[nodiscard]] static std::size_t handles() { return 3; }
  void lose_from_now_on() { loses_ = true; }

 private:
  [[nodiscard]] bool stalled() const { return virtual_clock::time >= from_ && virtual_clock::time < until_; }
  void deliver() {
    if ((stalled() && how_ == stall::delivers_late) || loses_) {
      return;
    }
    for (const auto due : waiting_) {
      latency_->record(virtual_clock::time - due);
      ++received_;
    }
    waiting_.clear();
  }
  stall how_;
  std::uint64_t from_, until_;
  std::vector<std::uint64_t> waiting_;
  histogram* latency_ = nullptr;
  std::uint64_t received_ = 0;
  bool loses_ = false;
};

struct open_loop : ::testing::TestWithParam<stall> {};

TEST_P(open_loop, shows_a_stall_in_full) {
  stalling_side side(GetParam(), 200 * ms, 500 * ms);
  open_loop_plan plan;
  plan.messages = 1000;  // one second
  histogram latency;
  const auto outcome = run_open_loop<virtual_clock>(side, plan, latency);
  EXPECT_TRUE(outcome.complete(plan));
  EXPECT_EQ(outcome.sent, 1000U);
  ASSERT_EQ(latency.count(), 1000U);
  // Due at 200, 201 ... 499 ms, delivered at 500: 300, 299 ... 1 ms late. The longest wait is at p99.9.
  EXPECT_GE(latency.percentile(99.9), 298 * ms);
  EXPECT_LE(latency.max(), 302 * ms);
  EXPECT_NEAR(static_cast<double>(latency.percentile(85)), 150 * ms, 3 * ms);
  EXPECT_LE(latency.percentile(69), 2 * ms);
}

INSTANTIATE_TEST_SUITE_P(by, open_loop,
                         ::testing::Values(stall::refuses, stall::blocks_the_sender, stall::delivers_late),
                         [](const auto& p) {
                           return p.param == stall::refuses             ? "refusing"
                                  : p.param == stall::blocks_the_sender ? "blocking"
                                                                        : "delivering_late";
                         });

TEST(open_loop_alone, messages_that_never_arrive_count_as_late_until_the_end) {
  stalling_side side(stall::refuses, 0, 0);
  side.lose_from_now_on();
  open_loop_plan plan;
  plan.messages = 100;
  plan.patience_ns = 2000 * ms;
  histogram latency;
  const auto outcome = run_open_loop<virtual_clock>(side, plan, latency);
  EXPECT_FALSE(outcome.complete(plan));
  EXPECT_EQ(outcome.received, 0U);
  EXPECT_EQ(latency.count(), 100U);
  EXPECT_GE(latency.min(), 1900 * ms);
}

TEST(open_loop_alone, messages_that_were_never_sent_count_as_late_until_the_end) {
  stalling_side side(stall::refuses, 100 * ms, 1000000 * ms);
  open_loop_plan plan;
  plan.messages = 1000;
  plan.patience_ns = 3000 * ms;
  histogram latency;
  const auto outcome = run_open_loop<virtual_clock>(side, plan, latency);
  EXPECT_EQ(outcome.sent, 100U);
  EXPECT_EQ(latency.count(), 1000U);
  EXPECT_GE(latency.percentile(50), 2000 * ms);
}

RC_GTEST_PROP(open_loop_alone, any_stall_appears_with_its_full_length, ()) {
  const auto from = *rc::gen::inRange<std::uint64_t>(0, 800);
  const auto length = *rc::gen::inRange<std::uint64_t>(1, 2000);
  const auto how = *rc::gen::element(stall::refuses, stall::blocks_the_sender, stall::delivers_late);
  const double rate = *rc::gen::element(1000.0, 7000.0, 50000.0);
  stalling_side side(how, from * ms, (from + length) * ms);
  open_loop_plan plan;
  plan.per_second = rate;
  plan.messages = static_cast<std::uint64_t>(rate);
  histogram latency;
  RC_ASSERT(run_open_loop<virtual_clock>(side, plan, latency).complete(plan));
  RC_ASSERT(latency.count() == plan.messages);
  const auto gap = static_cast<std::uint64_t>(1e9 / rate);
  RC_ASSERT(latency.max() + gap + ms >= length * ms);
}

TEST(open_loop_alone, a_stopped_service_appears_in_the_latency) {
  const std::string name = "cpgring-stalled-" + std::to_string(::getpid());
  test::child service(test::cpgring_line({"serve", "--name", name}));
  ASSERT_TRUE(service.until_it_says("serving"));
  our_options o;
  o.service = name;
  o.ring_bytes = 65536;
  our_side side("stalled", 4, o);
  // SIGSTOP for 400 ms, 200 ms after the first message was due.
  std::thread stop([&service] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    service.signal(SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    service.signal(SIGCONT);
  });
  open_loop_plan plan;
  plan.per_second = 2000;
  plan.messages = 2000;
  plan.patience_ns = 60000 * ms;
  histogram latency;
  const auto outcome = run_open_loop(side, plan, latency);
  stop.join();
  EXPECT_TRUE(outcome.complete(plan)) << outcome.received;
  EXPECT_EQ(latency.count(), plan.messages);
  EXPECT_GE(latency.percentile(99.9), 350 * ms)
      << "a generator that waits for the service would send nothing during the stall";
  EXPECT_GE(latency.percentile(90), 150 * ms) << "800 of the 2000 were due during the stall";
}

}  // namespace
}  // namespace cpgring::bench
