// Whether a request may be written: each reason against it, and which of several is reported.
#include "ipc/flow_control.hpp"

#include <gtest/gtest.h>

namespace {

using namespace cpgring::ipc;

constexpr flow_signals good{0, 2, true, 0, 192, 0};

TEST(flow_control, allows_writing_without_a_reason_against_it) { EXPECT_EQ(may_write(good), writable::yes); }

TEST(flow_control, reports_the_longest_lasting_reason) {
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

TEST(flow_control, refuses_while_a_doorbell_is_owed) {
  flow_signals s = good;
  s.doorbells_owed = 1;
  EXPECT_EQ(may_write(s), writable::outstanding);
}

TEST(flow_control, any_non_zero_control_word_means_stop) {
  for (std::uint32_t word : {1U, 2U, 3U, 0xFFFFFFFFU}) {
    flow_signals s = good;
    s.control_word = word;
    EXPECT_EQ(may_write(s), writable::flow_control) << word;
  }
}

TEST(flow_control, any_reference_count_but_two_means_hang_up) {
  for (std::uint32_t count : {0U, 1U, 3U, 0xFFFFFFFFU}) {
    flow_signals s = good;
    s.reference_count = count;
    EXPECT_EQ(may_write(s), writable::hung_up) << count;
  }
}

}  // namespace
