// When a supervised handle reconnects, how long it waits, and what an outage reports.
#include "runtime/supervisor.hpp"

#include <chrono>
#include <set>

#include <gtest/gtest.h>

namespace {

using namespace cpgring;
using cpgring::runtime::is_permanent;
using cpgring::runtime::supervisor;
using std::chrono::milliseconds;

supervision_options options(std::uint32_t attempts_max = 0) {
  supervision_options o;
  o.reconnect = true;
  o.backoff_min = milliseconds(20);
  o.backoff_max = milliseconds(1000);
  o.attempts_max = attempts_max;
  return o;
}

const base::time_point start{std::chrono::hours(1)};

TEST(supervisor, retries_after_temporary_errors_only) {
  const auto o = options();
  const supervisor s(o, 1);
  EXPECT_TRUE(s.supervises());
  for (const errc code : {errc::service_lost, errc::service_absent, errc::service_not_ready, errc::timeout,
                          errc::no_space, errc::exist, errc::malformed}) {
    EXPECT_TRUE(s.retries_after(error(code))) << error(code).message();
    EXPECT_FALSE(is_permanent(error(code)));
  }
  for (const errc code :
       {errc::access, errc::version, errc::invalid_param, errc::name_too_long, errc::not_supported,
        errc::forked, errc::unsupported_kernel, errc::stopped, errc::closed}) {
    EXPECT_FALSE(s.retries_after(error(code))) << error(code).message();
    EXPECT_TRUE(is_permanent(error(code)));
  }
}

TEST(supervisor, never_retries_without_reconnect) {
  supervision_options o = options();
  o.reconnect = false;
  const supervisor s(o, 1);
  EXPECT_FALSE(s.supervises());
  EXPECT_FALSE(s.retries_after(error(errc::service_lost)));
}

TEST(supervisor, doubles_the_wait_up_to_backoff_max_with_at_most_half_jitter) {
  const auto o = options();
  for (std::uint32_t seed = 1; seed < 50; ++seed) {
    supervisor s(o, seed);
    std::int64_t longest = 20;
    for (int i = 0; i < 12; ++i) {
      const auto wait = s.lost(start) - start;
      EXPECT_LE(wait, milliseconds(longest));
      EXPECT_GE(wait, milliseconds(longest / 2));
      longest = std::min<std::int64_t>(longest * 2, 1000);
    }
  }
}

TEST(supervisor, a_long_outage_does_not_overflow_the_wait) {
  const auto o = options();
  supervisor s(o, 1);
  for (int i = 0; i < 200; ++i) {
    const auto wait = s.lost(start) - start;
    EXPECT_GT(wait, milliseconds(0));
    EXPECT_LE(wait, milliseconds(1000));
  }
}

TEST(supervisor, jitter_differs_between_handles) {
  const auto o = options();
  std::set<std::int64_t> waits;
  for (std::uint32_t seed = 1; seed < 50; ++seed) {
    supervisor s(o, seed);
    s.lost(start);
    s.lost(start);
    waits.insert((s.lost(start) - start).count());
  }
  EXPECT_GT(waits.size(), 10U);
}

TEST(supervisor, gives_up_after_attempts_max) {
  const auto o = options(2);
  supervisor s(o, 1);
  EXPECT_TRUE(s.retries_after(error(errc::service_lost)));
  s.lost(start);
  EXPECT_TRUE(s.retries_after(error(errc::service_absent)));
  s.lost(start);
  EXPECT_FALSE(s.retries_after(error(errc::service_absent)));
}

TEST(supervisor, arrival_resets_the_attempts) {
  const auto o = options(1);
  supervisor s(o, 1);
  EXPECT_FALSE(s.was_there());
  s.lost(start);
  EXPECT_FALSE(s.retries_after(error(errc::service_absent)));
  s.answered(start);
  EXPECT_FALSE(s.was_there()) << "the service answers, but the handle has not rejoined yet";
  s.arrived();
  EXPECT_TRUE(s.was_there());
  EXPECT_TRUE(s.retries_after(error(errc::service_lost)));
  EXPECT_LE(s.lost(start) - start, milliseconds(20)) << "the wait is back at its minimum";
}

TEST(supervisor, failed_repeatedly_is_true_from_the_second_loss_on) {
  const auto o = options();
  supervisor s(o, 1);
  EXPECT_FALSE(s.failed_repeatedly());
  s.lost(start);
  EXPECT_FALSE(s.failed_repeatedly());
  s.lost(start);
  EXPECT_TRUE(s.failed_repeatedly());
  s.arrived();
  EXPECT_FALSE(s.failed_repeatedly());
}

TEST(supervisor, measures_an_outage_from_its_first_loss_to_the_answer) {
  const auto o = options();
  supervisor s(o, 1);
  s.lost(start);
  s.lost(start + milliseconds(300));
  EXPECT_EQ(s.outage(start + milliseconds(400)).attempts, 2U);
  EXPECT_EQ(s.outage(start + milliseconds(400)).away, milliseconds(400));
  s.answered(start + milliseconds(500));
  s.arrived();
  EXPECT_EQ(s.last_outage().attempts, 2U);
  EXPECT_EQ(s.last_outage().away, milliseconds(500));
  s.lost(start + milliseconds(900));
  EXPECT_EQ(s.outage(start + milliseconds(950)).away, milliseconds(50)) << "the next outage";
}

}  // namespace
