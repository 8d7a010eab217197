// May a request be written now: each reason alone, and which of several is named.
#include "ipc/flow_control.hpp"

#include <gtest/gtest.h>

namespace {

using namespace cpgring::ipc;

constexpr flow_signals good{0, 2, true, 0, 192, 0};

TEST(flow_control, lets_write_when_nothing_speaks_against_it) { EXPECT_EQ(may_write(good), writable::yes); }

TEST(flow_control, stops_for_each_reason_and_the_longest_one_is_named) {
  flow_signals s = good;
  s.has_room = false;
  EXPECT_EQ(may_write(s), writable::ring_full);
  s.outstanding = 191;
  EXPECT_EQ(may_write(s), writable::ring_full);
  s.outstanding = 192;
  EXPECT_EQ(may_write(s), writable::outstanding);
  s.control_word = 2;
  EXPECT_EQ(may_write(s), writable::flow_control);
  s.reference_count = 0;
  EXPECT_EQ(may_write(s), writable::hung_up);
}

TEST(flow_control, stops_while_a_doorbell_is_owed) {
  flow_signals s = good;
  s.doorbells_owed = 1;
  EXPECT_EQ(may_write(s), writable::outstanding);
}

TEST(flow_control, takes_any_control_word_but_zero_for_stop) {
  for (std::uint32_t word : {1U, 2U, 3U, 0xFFFFFFFFU}) {
    flow_signals s = good;
    s.control_word = word;
    EXPECT_EQ(may_write(s), writable::flow_control) << word;
  }
}

TEST(flow_control, takes_any_reference_count_but_two_for_a_hang_up) {
  for (std::uint32_t count : {0U, 1U, 3U, 0xFFFFFFFFU}) {
    flow_signals s = good;
    s.reference_count = count;
    EXPECT_EQ(may_write(s), writable::hung_up) << count;
  }
}

}  // namespace
