// When a half-full ring counts as an overload, and when the next overload may begin.
#include "delivery/overload_watch.hpp"

#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/hostile_service.hpp"
#include "support/in_process_service.hpp"
#include "support/manual_clock.hpp"

namespace {

using namespace cpgring;
using cpgring::delivery::overload_watch;
using cpgring::test::in_process_service;
using std::chrono::milliseconds;

/// A watch over a ring that the test fills and empties.
struct watch_case {
  watch_case() : connection(service.connect()) {}

  void fill(double part) {
    while (ring().used_bytes() < ring().capacity_bytes() * part) {
      service.send_event(std::vector<std::byte>(500));
    }
  }
  void empty() {
    ipc::frame one;
    ring().collect();
    while (ring().next(one) == ipc::read_result::frame) {
    }
    ring().reclaim(ring().leased());
  }
  bool check(bool stalled = true, std::size_t copies = 0) {
    return watch.check(ring(), clock.read(), stalled, milliseconds(7), copies);
  }
  ipc::ring_reader& ring() { return connection.events(); }

  cpgring::test::manual_clock clock;
  in_process_service service;
  ipc::connection connection;
  delivery::handle_counters counters;
  overload_watch watch{counters};
};

TEST(overload_watch, warns_once_after_the_ring_stays_half_full_for_the_interval) {
  watch_case c;
  c.fill(0.5);
  EXPECT_FALSE(c.check());
  c.clock.advance(overload_watch::check_interval - milliseconds(1));
  EXPECT_FALSE(c.check());
  EXPECT_FALSE(c.watch.lasts(c.clock.read()));
  c.clock.advance(milliseconds(1));
  EXPECT_TRUE(c.watch.lasts(c.clock.read()));
  EXPECT_TRUE(c.check());
  EXPECT_FALSE(c.check()) << "one warning per overload";
  EXPECT_EQ(c.counters.overloads.get(), 1U);
  EXPECT_EQ(c.counters.ring_used.get(), c.ring().used_bytes());
  EXPECT_EQ(c.counters.oldest_age_ns.get(), 7'000'000U);
}

TEST(overload_watch, a_burst_read_in_time_is_no_overload) {
  watch_case c;
  c.fill(0.6);
  EXPECT_FALSE(c.check());
  c.empty();
  c.clock.advance(milliseconds(10));
  EXPECT_FALSE(c.check());
  c.fill(0.6);
  EXPECT_FALSE(c.check()) << "the interval starts again";
  EXPECT_GT(c.counters.ring_used_max.get(), c.ring().capacity_bytes() / 2);
}

TEST(overload_watch, a_full_ring_without_a_stall_is_no_overload) {
  watch_case c;
  c.fill(0.6);
  EXPECT_FALSE(c.check(false));
  c.clock.advance(milliseconds(10));
  EXPECT_FALSE(c.check(false));
}

TEST(overload_watch, a_turn_that_begins_with_a_half_full_ring_must_be_checked) {
  watch_case c;
  EXPECT_FALSE(c.watch.turn_begins(c.ring()));
  c.fill(0.5);
  EXPECT_TRUE(c.watch.turn_begins(c.ring()));
  EXPECT_FALSE(c.check(false));
  c.clock.advance(overload_watch::check_interval);
  EXPECT_TRUE(c.check(false));
  c.empty();
  EXPECT_TRUE(c.watch.turn_begins(c.ring())) << "the end of the overload must still be detected";
  EXPECT_FALSE(c.check(false));
  EXPECT_FALSE(c.watch.turn_begins(c.ring()));
}

TEST(overload_watch, an_overload_ends_below_a_quarter_once_all_copies_are_freed) {
  watch_case c;
  c.fill(0.5);
  c.check();
  c.clock.advance(overload_watch::check_interval);
  ASSERT_TRUE(c.check());
  c.empty();
  c.fill(0.3);
  EXPECT_FALSE(c.check());
  c.fill(0.5);
  c.check();
  c.clock.advance(overload_watch::check_interval);
  EXPECT_FALSE(c.check()) << "the ring was not below a quarter in between";
  c.empty();
  EXPECT_FALSE(c.check(true, 1));
  c.fill(0.5);
  c.check();
  c.clock.advance(overload_watch::check_interval);
  EXPECT_FALSE(c.check()) << "copies were left";
  c.empty();
  EXPECT_FALSE(c.check(true, 0));
  c.fill(0.5);
  c.check();
  c.clock.advance(overload_watch::check_interval);
  EXPECT_TRUE(c.check());
  EXPECT_EQ(c.counters.overloads.get(), 2U);
}

TEST(overload_watch, keeps_the_duration_of_the_last_turn_only_if_events_remained) {
  watch_case c;
  c.watch.turn_ended(true, milliseconds(4));
  EXPECT_EQ(c.watch.callback_time(), milliseconds(4));
  c.watch.turn_ended(false, milliseconds(9));
  EXPECT_EQ(c.watch.callback_time(), milliseconds(0));
}

}  // namespace
