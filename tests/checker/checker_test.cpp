// The checker finds each violation that is planted, and none where there is none.
#include <algorithm>
#include <random>
#include <sstream>

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include "checker/checker.hpp"

namespace cpgring::checker {
namespace {

using testing::Contains;
using testing::Field;
using testing::IsEmpty;

event message(life sender, std::uint64_t sequence) { return {event::kind::message, {sender, sequence}, 0, {}, {}, {}}; }
event sent(life sender, std::uint64_t sequence) { return {event::kind::sent, {sender, sequence}, 0, {}, {}, {}}; }
event known(life sender, std::uint64_t sequence) { return {event::kind::known, {sender, sequence}, 0, {}, {}, {}}; }
event unsent(life sender, std::uint64_t sequence) { return {event::kind::unsent, {sender, sequence}, 0, {}, {}, {}}; }
event gap() { return {event::kind::gap, {}, 0, {}, {}, {}}; }
event view(std::uint64_t ring, std::vector<address> members, std::vector<address> joined = {}, std::vector<address> left = {}) {
  return {event::kind::view, {}, ring, std::move(members), std::move(joined), std::move(left)};
}

const address p1{1, 11}, p2{2, 22}, p3{3, 33};

/// Three processes that delivered the same: two views, twelve messages of three senders between and after them.
struct a_good_run : testing::Test {
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
    return static_cast<std::size_t>(std::find(of(process).begin(), of(process).end(), what) - of(process).begin());
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

TEST_F(a_good_run, is_good_and_was_looked_at) {
  const auto found = check(all);
  EXPECT_TRUE(found.good()) << found.text();
  EXPECT_EQ(found.messages, 36U);
  EXPECT_EQ(found.views, 9U);
  EXPECT_EQ(found.orders_compared, 36U);
  EXPECT_EQ(found.steps_compared, 6U);
}

TEST_F(a_good_run, with_a_message_that_nobody_sent) {
  insert(1, 3, message(9, 0));
  expect("no creation");
}

TEST_F(a_good_run, with_a_message_beyond_what_its_sender_sent) {
  of(2).push_back(message(1, 4));
  expect("no creation");
}

TEST_F(a_good_run, with_a_message_delivered_twice) {
  insert(1, find(1, message(3, 2)) + 3, message(3, 2));
  expect("no duplicates");
}

TEST_F(a_good_run, with_two_messages_swapped_on_one_process) {
  std::swap(of(1)[find(1, message(1, 2))], of(1)[find(1, message(3, 2))]);
  expect("total order");
}

TEST_F(a_good_run, with_a_message_missing_on_one_process) {
  erase(1, message(1, 1));
  expect("no holes");
  expect("virtual synchrony");
}

TEST_F(a_good_run, with_the_last_message_of_a_view_missing_is_seen_by_the_view_alone) {
  erase(2, message(1, 3));
  expect("virtual synchrony");
}

TEST_F(a_good_run, with_a_message_on_the_wrong_side_of_a_view) {
  const auto at = find(2, message(3, 1));
  std::swap(of(2)[at], of(2)[find(2, view(7, {p1, p2, p3, {4, 44}}, {{4, 44}}))]);
  expect("virtual synchrony");
}

TEST_F(a_good_run, with_an_own_message_known_but_never_delivered) {
  erase(0, message(1, 3));
  expect("self-delivery");
}

TEST_F(a_good_run, with_a_message_delivered_though_its_sender_was_told_that_nobody_would) {
  of(0).push_back(unsent(1, 2));
  expect("no creation");
}

TEST_F(a_good_run, may_lack_what_its_sender_was_told_is_not_sent) {
  for (std::size_t process = 0; process < all.size(); ++process) {
    erase(process, message(1, 2));
  }
  erase(0, known(1, 2));
  expect("no holes");
  of(0).push_back(unsent(1, 2));
  EXPECT_THAT(check(all).violations, IsEmpty()) << check(all).text();
}

TEST_F(a_good_run, may_have_a_gap_where_it_is_told) {
  // The third process lost its service after the first view: what follows is another life.
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

TEST_F(a_good_run, without_the_gap_said_is_not) {
  erase(2, message(1, 1));
  erase(2, message(1, 2));
  expect("no holes");
}

TEST_F(a_good_run, may_part_and_meet_again) {
  // p3 alone in ring 8, p1 and p2 in ring 9, all in ring 10; what was sent meanwhile stays on its side.
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
  // p1 and p2 were together all the time.
  erase(1, message(1, 4));
  expect("virtual synchrony");
}

TEST_F(a_good_run, may_have_one_that_left_and_came_back) {
  // p3 misses what p1 sends meanwhile; the ring stays the same.
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

TEST_F(a_good_run, with_a_message_for_one_that_has_left) {
  // What stock corosync goes on to send on a connection that has left is not for anybody's callbacks.
  of(2).push_back(view(7, {p1, p2}, {}, {p3}));
  of(0).push_back(sent(1, 4));
  of(2).push_back(message(1, 4));
  expect("membership");
}

TEST_F(a_good_run, may_have_one_whose_connection_was_lost_in_a_ring_that_stays) {
  // p3's join looks both times the same, and the others saw it leave between: with what the others did the first time it has nothing to do.
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
  EXPECT_EQ(found.steps_compared, 6U + 2U + 3U) << "p1 and p2 once more between these, and all three at the end";
  erase(2, message(1, 5));
  EXPECT_TRUE(check(all).good()) << "nothing tells any more which views of p3 are those of the others";
  erase(1, message(1, 5));
  expect("virtual synchrony");
}

TEST_F(a_good_run, goes_on_from_a_view_that_both_know_over_views_without_messages) {
  for (std::size_t i = 0; i < 3; ++i) {
    of(i).push_back(view(8, {p1, p2, p3}, {}, {}));
    of(i).push_back(view(9, {p1, p2, p3}, {}, {}));
  }
  of(0).push_back(sent(1, 4));
  of(2).insert(of(2).end() - 1, message(1, 4));
  expect("virtual synchrony");
}

TEST_F(a_good_run, and_one_that_was_killed) {
  of(1).resize(find(1, message(2, 2)));
  of(1).push_back(sent(2, 3));  // which the others have delivered
  const auto found = check(all);
  EXPECT_TRUE(found.good()) << found.text();
}

RC_GTEST_PROP(checker, a_random_order_of_everything_is_good_and_any_message_lost_in_the_middle_is_found, ()) {
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

TEST(history, goes_through_text) {
  const history all{"3:7",
                    {3, 7},
                    {view(5, {p1, p2}, {p2}, {p3}), sent(1, 0), message(1, 0), known(1, 0), gap(), {event::kind::ring, {}, 9, {}, {}, {}}}};
  std::stringstream text;
  write(text, all);
  std::string error;
  const auto back = read(text, error);
  ASSERT_TRUE(back) << error;
  EXPECT_EQ(back->self, all.self);
  EXPECT_EQ(back->process, all.process);
  EXPECT_EQ(back->events, all.events);
}

TEST(history, may_end_in_the_middle_of_a_line_but_not_be_nonsense) {
  std::string error;
  std::istringstream torn("process 1:2\nmessage 1 0\nmessage 1");
  auto read_back = read(torn, error);
  ASSERT_TRUE(read_back);
  EXPECT_EQ(read_back->events.size(), 1U);
  for (const char* wrong : {"", "process\n", "process 1:x\n", "process 1:2\nmessage 1\nmessage 1 1\n", "process 1:2\nparty\ngap\n",
                            "process 1:2\ngap 3\ngap\n", "process 1:2\nview 1 1:2 - \ngap\n", "process 1:2\nview 1 1:2 - 4\ngap\n"}) {
    std::istringstream in(wrong);
    error.clear();
    EXPECT_FALSE(read(in, error)) << wrong;
    EXPECT_FALSE(error.empty());
  }
}

}  // namespace
}  // namespace cpgring::checker
