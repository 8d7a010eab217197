// The checker finds each planted violation, and none in a correct history.
#include <algorithm>
#include <random>
#include <sstream>

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include "checker/checker.hpp"

namespace cpgring::checker {
namespace {

using ::testing::Contains;
using ::testing::Field;
using ::testing::IsEmpty;

event message(life sender, std::uint64_t sequence) {
  return {event::kind::message, {sender, sequence}, 0, {}, {}, {}};
}
event sent(life sender, std::uint64_t sequence) {
  return {event::kind::sent, {sender, sequence}, 0, {}, {}, {}};
}
event known(life sender, std::uint64_t sequence) {
  return {event::kind::known, {sender, sequence}, 0, {}, {}, {}};
}
event unsent(life sender, std::uint64_t sequence) {
  return {event::kind::unsent, {sender, sequence}, 0, {}, {}, {}};
}
event gap() { return {event::kind::gap, {}, 0, {}, {}, {}}; }
event view(std::uint64_t ring, std::vector<address> members, std::vector<address> joined = {},
           std::vector<address> left = {}) {
  return {event::kind::view, {}, ring, std::move(members), std::move(joined), std::move(left)};
}

const address p1{1, 11}, p2{2, 22}, p3{3, 33};

/// Three processes that delivered the same events: three views and twelve messages of three senders.
struct checker_on_a_history : ::testing::Test {
  std::vector<history> all;
  void SetUp() override {
    for (const address& self : {p1, p2, p3}) {
      history h;
      h.process = std::to_string(self.node) + ":" + std::to_string(self.pid);
      h.self = self;
      h.events.push_back(view(7, {p1, p2, p3}, {p3}));
      for (std::uint64_t i = 0; i < 4; ++i) {
        for (const life sender : {1U, 2U, 3U}) {
          if (sender == self.node) {
            h.events.push_back(sent(sender, i));
          }
          h.events.push_back(message(sender, i));
          if (sender == self.node) {
            h.events.push_back(known(sender, i));
          }
        }
        if (i == 1) {
          h.events.push_back(view(7, {p1, p2, p3, {4, 44}}, {{4, 44}}));
        }
      }
      h.events.push_back(view(7, {p1, p2, p3}, {}, {{4, 44}}));
      all.push_back(std::move(h));
    }
  }
  std::vector<event>& of(std::size_t process) { return all[process].events; }
  std::size_t find(std::size_t process, const event& what) {
    return static_cast<std::size_t>(std::find(of(process).begin(), of(process).end(), what) -
                                    of(process).begin());
  }
  void erase(std::size_t process, const event& what) {
    of(process).erase(of(process).begin() + static_cast<std::ptrdiff_t>(find(process, what)));
  }
  void insert(std::size_t process, std::size_t at, event what) {
    of(process).insert(of(process).begin() + static_cast<std::ptrdiff_t>(at), std::move(what));
  }
  void expect(const char* promise) {
    const auto found = check(all);
    EXPECT_THAT(found.violations, Contains(Field(&violation::promise, promise))) << found.text();
  }
};

TEST_F(checker_on_a_history, finds_nothing_in_a_correct_one_and_compares_all_of_it) {
  const auto found = check(all);
  EXPECT_TRUE(found.good()) << found.text();
  EXPECT_EQ(found.messages, 36U);
  EXPECT_EQ(found.views, 9U);
  EXPECT_EQ(found.orders_compared, 36U);
  EXPECT_EQ(found.steps_compared, 6U);
}

TEST_F(checker_on_a_history, finds_a_message_that_nobody_sent) {
  insert(1, 3, message(9, 0));
  expect("no creation");
}

TEST_F(checker_on_a_history, finds_a_message_beyond_the_last_one_of_its_sender) {
  of(2).push_back(message(1, 4));
  expect("no creation");
}

TEST_F(checker_on_a_history, finds_a_message_delivered_twice) {
  insert(1, find(1, message(3, 2)) + 3, message(3, 2));
  expect("no duplicates");
}

TEST_F(checker_on_a_history, finds_two_messages_swapped_on_one_process) {
  std::swap(of(1)[find(1, message(1, 2))], of(1)[find(1, message(3, 2))]);
  expect("total order");
}

TEST_F(checker_on_a_history, finds_a_message_missing_on_one_process) {
  erase(1, message(1, 1));
  expect("no holes");
  expect("virtual synchrony");
}

TEST_F(checker_on_a_history, finds_the_last_message_of_a_view_missing_by_virtual_synchrony) {
  erase(2, message(1, 3));
  expect("virtual synchrony");
}

TEST_F(checker_on_a_history, finds_a_message_on_the_wrong_side_of_a_view) {
  const auto at = find(2, message(3, 1));
  std::swap(of(2)[at], of(2)[find(2, view(7, {p1, p2, p3, {4, 44}}, {{4, 44}}))]);
  expect("virtual synchrony");
}

TEST_F(checker_on_a_history, finds_an_own_message_confirmed_but_never_delivered) {
  erase(0, message(1, 3));
  expect("self-delivery");
}

TEST_F(checker_on_a_history, finds_a_delivered_message_that_was_reported_as_not_sent) {
  of(0).push_back(unsent(1, 2));
  expect("no creation");
}

TEST_F(checker_on_a_history, accepts_a_missing_message_that_was_reported_as_not_sent) {
  for (std::size_t process = 0; process < all.size(); ++process) {
    erase(process, message(1, 2));
  }
  erase(0, known(1, 2));
  expect("no holes");
  of(0).push_back(unsent(1, 2));
  EXPECT_THAT(check(all).violations, IsEmpty()) << check(all).text();
}

TEST_F(checker_on_a_history, accepts_a_reported_gap) {
  // The third process lost its service after the first view: a new life follows.
  auto& events = of(2);
  const auto from = find(2, message(1, 1));
  const auto until = find(2, view(7, {p1, p2, p3}, {}, {{4, 44}}));
  std::erase_if(events, [&](const event& e) {
    const auto i = static_cast<std::size_t>(&e - events.data());
    return i >= from && i < until && e.what != event::kind::sent;
  });
  insert(2, from, gap());
  const auto found = check(all);
  EXPECT_TRUE(found.good()) << found.text();
}

TEST_F(checker_on_a_history, finds_a_gap_that_was_not_reported) {
  erase(2, message(1, 1));
  erase(2, message(1, 2));
  expect("no holes");
}

TEST_F(checker_on_a_history, accepts_a_partition_and_a_merge) {
  // p3 is alone in ring 8, p1 and p2 are in ring 9, all are in ring 10. Messages stay within their ring.
  for (std::size_t i = 0; i < 3; ++i) {
    auto& e = of(i);
    if (i == 2) {
      e.push_back(view(8, {p3}, {}, {p1, p2}));
      e.push_back(sent(3, 4));
      e.push_back(message(3, 4));
      e.push_back(view(10, {p1, p2, p3}, {p1, p2}));
    } else {
      e.push_back(view(9, {p1, p2}, {}, {p3}));
      if (i == 0) {
        e.push_back(sent(1, 4));
      }
      e.push_back(message(1, 4));
      e.push_back(view(10, {p1, p2, p3}, {p3}));
    }
  }
  auto found = check(all);
  EXPECT_TRUE(found.good()) << found.text();
  // p1 and p2 were in the same rings all the time.
  erase(1, message(1, 4));
  expect("virtual synchrony");
}

TEST_F(checker_on_a_history, accepts_a_process_that_left_and_returned) {
  // p3 misses what p1 sends while it is away; the ring stays the same.
  for (std::size_t i = 0; i < 3; ++i) {
    auto& e = of(i);
    e.push_back(view(7, {p1, p2}, {}, {p3}));
    if (i == 0) {
      e.push_back(sent(1, 4));
      e.push_back(sent(1, 5));
    }
    if (i != 2) {
      e.push_back(message(1, 4));
    }
    e.push_back(view(7, {p1, p2, p3}, {p3}));
    e.push_back(message(1, 5));
  }
  EXPECT_TRUE(check(all).good()) << check(all).text();
  erase(1, message(1, 4));
  expect("no holes");
}

TEST_F(checker_on_a_history, finds_a_message_delivered_to_a_process_that_has_left) {
  // Stock corosync keeps sending on a connection that has left; callbacks must not get these messages.
  of(2).push_back(view(7, {p1, p2}, {}, {p3}));
  of(0).push_back(sent(1, 4));
  of(2).push_back(message(1, 4));
  expect("membership");
}

TEST_F(checker_on_a_history, accepts_a_lost_connection_in_an_unchanged_ring) {
  // Both joins of p3 look the same, but the others saw it leave in between: its second life must not be
  // compared with the steps of the others before that.
  for (std::size_t i = 0; i < 3; ++i) {
    auto& e = of(i);
    if (i == 2) {
      e.push_back(gap());
    } else {
      e.push_back(view(7, {p1, p2}, {}, {p3}));
      e.push_back(message(1, 4));
    }
    if (i == 0) {
      e.push_back(sent(1, 4));
      e.push_back(sent(1, 5));
    }
    e.push_back(view(7, {p1, p2, p3}, {p3}));
    e.push_back(message(1, 5));
    e.push_back(view(7, {p1, p2, p3, {4, 44}}, {{4, 44}}));
  }
  const auto found = check(all);
  EXPECT_TRUE(found.good()) << found.text();
  EXPECT_EQ(found.steps_compared, 6U + 2U + 3U) << "one more step of p1 and p2, and three pairs at the end";
  erase(2, message(1, 5));
  EXPECT_TRUE(check(all).good()) << "no common message matches the views of p3 with those of the others";
  erase(1, message(1, 5));
  expect("virtual synchrony");
}

TEST_F(checker_on_a_history, compares_views_without_messages_that_follow_a_common_view) {
  for (std::size_t i = 0; i < 3; ++i) {
    of(i).push_back(view(8, {p1, p2, p3}, {}, {}));
    of(i).push_back(view(9, {p1, p2, p3}, {}, {}));
  }
  of(0).push_back(sent(1, 4));
  of(2).insert(of(2).end() - 1, message(1, 4));
  expect("virtual synchrony");
}

TEST_F(checker_on_a_history, accepts_a_process_that_was_killed) {
  of(1).resize(find(1, message(2, 2)));
  of(1).push_back(sent(2, 3));  // the others have delivered it
  const auto found = check(all);
  EXPECT_TRUE(found.good()) << found.text();
}

RC_GTEST_PROP(checker, accepts_any_common_order_and_finds_any_lost_message, ()) {
  std::mt19937 random(*rc::gen::arbitrary<unsigned>());
  std::vector<event> order{view(1, {p1, p2, p3}, {p3})};
  std::uint64_t next[3] = {};
  const auto length = *rc::gen::inRange(4, 60);
  for (int i = 0; i < length; ++i) {
    const auto who = random() % 3;
    order.push_back(message(who + 1, next[who]++));
    if (random() % 8 == 0) {
      order.push_back(view(1, {p1, p2, p3}));
    }
  }
  order.push_back(view(1, {p1, p2, p3}));
  std::vector<history> all;
  for (const address& self : {p1, p2, p3}) {
    history h{std::to_string(self.node), self, order};
    for (std::uint64_t i = 0; i < next[self.node - 1]; ++i) {
      h.events.insert(h.events.begin(), sent(self.node, i));
    }
    all.push_back(std::move(h));
  }
  RC_ASSERT(check(all).good());
  auto& events = all[random() % 3].events;
  std::vector<std::size_t> messages;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (events[i].what == event::kind::message) {
      messages.push_back(i);
    }
  }
  events.erase(events.begin() + static_cast<std::ptrdiff_t>(messages[random() % messages.size()]));
  RC_ASSERT(!check(all).good());
}

TEST(history, survives_writing_and_reading) {
  const history all{"3:7",
                    {3, 7},
                    {view(5, {p1, p2}, {p2}, {p3}),
                     sent(1, 0),
                     message(1, 0),
                     known(1, 0),
                     gap(),
                     {event::kind::ring, {}, 9, {}, {}, {}}}};
  std::stringstream text;
  write(text, all);
  std::string error;
  const auto back = read(text, error);
  ASSERT_TRUE(back) << error;
  EXPECT_EQ(back->self, all.self);
  EXPECT_EQ(back->process, all.process);
  EXPECT_EQ(back->events, all.events);
}

TEST(history, may_end_within_a_line_but_has_no_invalid_lines) {
  std::string error;
  std::istringstream torn("process 1:2\nmessage 1 0\nmessage 1");
  auto read_back = read(torn, error);
  ASSERT_TRUE(read_back);
  EXPECT_EQ(read_back->events.size(), 1U);
  for (const char* wrong : {"", "process\n", "process 1:x\n", "process 1:2\nmessage 1\nmessage 1 1\n",
                            "process 1:2\nparty\ngap\n", "process 1:2\ngap 3\ngap\n",
                            "process 1:2\nview 1 1:2 - \ngap\n", "process 1:2\nview 1 1:2 - 4\ngap\n"}) {
    std::istringstream in(wrong);
    error.clear();
    EXPECT_FALSE(read(in, error)) << wrong;
    EXPECT_FALSE(error.empty());
  }
}

}  // namespace
}  // namespace cpgring::checker
