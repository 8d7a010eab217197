// Multicasts that share one doorbell: those of one callback, on any handle, and those of a send_batch; and
// the counters that show it.
#include <thread>

#include "support/filler.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

class flow_batch : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_batch, ::testing::ValuesIn(backends_here()), backend_name);

std::uint64_t doorbells(const witness& of) { return of.self.stats().doorbells; }

TEST_P(flow_batch, groups_multicasts_made_outside_callbacks) {
  world w(GetParam());
  witness a;
  open_joined(w, a, world::fresh_group());
  const auto before = doorbells(a);
  {
    const auto batch = w.loop().batch();
    for (int i = 0; i < 64; ++i) {
      ASSERT_TRUE(a.self.multicast(std::to_string(i)));
    }
  }
  EXPECT_EQ(doorbells(a) - before, 2U) << "a doorbell covers at most 32 multicasts";
  for (int i = 64; i < 70; ++i) {
    ASSERT_TRUE(a.self.multicast(std::to_string(i)));
  }
  ASSERT_TRUE(w.until([&] { return a.messages.size() == 70; }));
  EXPECT_EQ(doorbells(a) - before, 8U) << "one doorbell per multicast without a batch";
  for (std::size_t i = 0; i < 70; ++i) {
    EXPECT_EQ(a.messages[i], std::to_string(i));
  }
}

TEST_P(flow_batch, is_sent_when_the_engine_is_driven_before_the_batch_ends) {
  world w(GetParam());
  witness a;
  open_joined(w, a, world::fresh_group());
  const auto batch = w.loop().batch();
  ASSERT_TRUE(a.self.multicast("1"));
  ASSERT_TRUE(w.until([&] { return a.messages.size() == 1; }));
}

TEST_P(flow_batch, groups_multicasts_of_a_callback_on_other_handles) {
  world w(GetParam());
  witness a, b;
  open_joined(w, b, world::fresh_group());
  auto calls = a.record();
  calls.on_message = [&](handle&, const message&) {
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(b.self.multicast(std::to_string(i)));
    }
  };
  auto opened = w.loop().open(w.options(world::fresh_group()), std::move(calls));
  ASSERT_TRUE(opened);
  ASSERT_TRUE(w.until([&] { return a.is(handle_state::joined); }));
  const auto before = doorbells(b);
  ASSERT_TRUE(opened->multicast("go"));
  ASSERT_TRUE(w.until([&] { return b.messages.size() == 10; }));
  EXPECT_EQ(doorbells(b) - before, 1U);
}

TEST_P(flow_batch, loses_nothing_when_the_handle_is_closed_within_the_batch) {
  world w(GetParam());
  witness a, other;
  const auto group = world::fresh_group();
  open_joined(w, a, group);
  open_joined(w, other, group, made_up_pid + 4712);
  {
    const auto batch = w.loop().batch();
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(a.self.multicast(std::to_string(i)));
    }
    a.self.close();
  }
  ASSERT_TRUE(w.until([&] {
    return other.messages.size() == 5 && other.views.back().find("process_down") != std::string::npos;
  }));
}

TEST_P(flow_batch, does_nothing_on_another_thread) {
  world w(GetParam());
  witness a;
  open_joined(w, a, world::fresh_group());
  std::thread([&] {
    const auto batch = w.loop().batch();
    EXPECT_TRUE(a.self.multicast("from outside"));
  }).join();
  ASSERT_TRUE(w.until([&] { return a.messages.size() == 1; }));
}

TEST_P(flow_batch, counters_show_what_the_loop_did) {
  world w(GetParam());
  witness a;
  open_joined(w, a, world::fresh_group());
  // A handle is armed after several polls without an event.
  ASSERT_TRUE(w.until([&] { return w.loop().stats().arms > 0; }));
  const auto before = w.loop().stats();
  EXPECT_EQ(before.backend, GetParam());
  EXPECT_GT(before.turns, 0U);
  EXPECT_GT(before.enters, 0U);
  std::thread later([&] { EXPECT_TRUE(a.self.multicast("x")); });
  ASSERT_TRUE(w.until([&] { return a.messages.size() == 1; }));
  later.join();
  EXPECT_GT(w.loop().stats().turns, before.turns);
  EXPECT_EQ(w.loop().stats().overflows, 0U);
}

}  // namespace
