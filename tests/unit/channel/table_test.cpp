// The table of one process, event by event. The simulator (tests/simulator) runs many tables together.
#include <chrono>
#include <string>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "channel/table.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::channel;
using namespace std::chrono_literals;

constexpr member_address first{1, 1}, second{1, 2}, third{2, 1};
constexpr std::uint64_t own_stay = 100;

member named(member_address at, reason why = reason::none) { return {at.node_id, at.pid, 0, why, true}; }

/// One process, whose records come back at once unless they are held.
struct one_process : table_listener {
  explicit one_process(member_address at, const table_timing& timing = {})
      : self(at), t(at, own_stay, *this, timing) {}

  void send(const hello_record& one) override { sent.emplace_back(one); }
  void send(const state_record& one) override { sent.emplace_back(one); }
  void send(const join_record& one) override { sent.emplace_back(one); }
  void send(const leave_record& one) override { sent.emplace_back(one); }
  void changed(const light_view& now) override {
    std::string line = *t.channels()[now.channel].name + ":";
    const auto add = [&line](const char* sign, const light_member& one) {
      line += fmt::format(" {}{}.{}", sign, one.at.node_id, one.at.pid);
      line += one.why == reason::none ? "" : fmt::format("/{}", to_string(one.why));
    };
    for (const auto& one : now.members) {
      add("", one);
    }
    for (const auto& one : now.joined) {
      add("+", one);
    }
    for (const auto& one : now.left) {
      add("-", one);
    }
    views.push_back(std::move(line));
  }
  void restart_transfer(std::uint32_t channel) override { restarted.push_back(channel); }
  void inconsistent(error why) override { faults.push_back(why.message()); }

  void view(std::vector<member_address> members, std::vector<member_address> joined,
            std::vector<member_address> left = {}, reason why = reason::process_down) {
    std::vector<member> all, in, out;
    for (const auto at : members) {
      all.push_back(named(at));
    }
    for (const auto at : joined) {
      in.push_back(named(at, reason::join));
    }
    for (const auto at : left) {
      out.push_back(named(at, why));
    }
    t.carrier_view(all, in, out, now);
  }
  /// Sends what is due, and delivers all own records, also those sent meanwhile.
  void come_back() {
    t.advance(now);
    while (!sent.empty()) {
      const auto one = sent.front();
      sent.erase(sent.begin());
      std::visit([this](const auto& what) { t.deliver(self, own_stay, what); }, one);
    }
  }
  template <class Record>
  [[nodiscard]] int count() const {
    int n = 0;
    for (const auto& one : sent) {
      n += std::holds_alternative<Record>(one) ? 1 : 0;
    }
    return n;
  }

  const member_address self;
  table t;
  base::time_point now{1s};
  std::vector<std::variant<hello_record, state_record, join_record, leave_record>> sent;
  std::vector<std::string> views, faults;
  std::vector<std::uint32_t> restarted;
};

/// What a process of another component says: HELLO and STATE.
state_record speaks(one_process& to, member_address from, std::vector<process_state> processes,
                    std::vector<std::string> names, std::uint32_t number = 1) {
  const hello_id id{from, 7, number};
  to.t.deliver(from, 7, hello_record{id});
  return {id, std::move(names), std::move(processes)};
}

TEST(table, a_process_alone_joins_at_once) {
  one_process p(first);
  ASSERT_TRUE(p.t.join("a"));
  p.view({first}, {first});
  EXPECT_TRUE(p.t.all_together());
  p.come_back();
  EXPECT_EQ(p.views, std::vector<std::string>{"a: 1.1 +1.1/join"});
}

TEST(table, joins_requested_together_go_in_one_record) {
  one_process p(first);
  p.view({first}, {first});
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(p.t.join(fmt::format("channel {}", i)));
  }
  p.t.advance(p.now);
  ASSERT_EQ(p.sent.size(), 1U);
  EXPECT_EQ(std::get<join_record>(p.sent[0]).entries.size(), 100U);
  p.come_back();
  EXPECT_EQ(p.views.size(), 100U);
}

TEST(table, a_newcomer_announces_nothing_until_it_is_together_with_the_others) {
  one_process p(second);
  ASSERT_TRUE(p.t.join("a"));
  p.view({first, second}, {second});
  p.t.advance(p.now);
  EXPECT_EQ(p.count<join_record>(), 0);
  EXPECT_EQ(p.count<hello_record>(), 1);
  p.come_back();  // its own HELLO and STATE: its component has spoken
  const auto others = speaks(p, first, {{first, 7, 1, {{0, 0}}}}, {"a"});
  p.t.deliver(first, 7, others);
  EXPECT_TRUE(p.t.all_together());
  EXPECT_TRUE(p.views.empty());
  p.come_back();
  EXPECT_EQ(p.views, std::vector<std::string>{"a: 1.1 1.2 +1.2/join"});
}

TEST(table, patience_ends_the_wait_for_others) {
  one_process p(second);
  ASSERT_TRUE(p.t.join("a"));
  p.view({first, second}, {second});
  p.come_back();
  EXPECT_TRUE(p.views.empty());
  ASSERT_TRUE(p.t.due());
  p.now += 1s;
  p.come_back();
  EXPECT_EQ(p.views, std::vector<std::string>{"a: 1.2 +1.2/join"});
}

TEST(table, two_components_are_one_when_the_later_has_spoken) {
  one_process p(first);
  ASSERT_TRUE(p.t.join("a"));
  p.view({first}, {first});
  p.come_back();
  p.views.clear();
  p.now += 1s;
  p.view({first, third}, {third});
  const auto others = speaks(p, third, {{third, 7, 2, {{4, 1}, {0, 0}}}}, {"b", "a"});
  p.t.deliver(third, 7, others);
  EXPECT_EQ(p.t.component_size(), 1U);
  EXPECT_TRUE(p.views.empty());
  EXPECT_EQ(p.t.sender(third, 7), nullptr);
  p.come_back();
  EXPECT_EQ(p.views, std::vector<std::string>{"a: 1.1 2.1 +2.1/node_up"});
  const process* const sender = p.t.sender(third, 7);
  ASSERT_NE(sender, nullptr);
  EXPECT_EQ(p.t.sender(third, 8), nullptr) << "another stay";
  EXPECT_EQ(p.t.receives(*sender, 4), p.t.channels().find("a"));
  EXPECT_EQ(p.t.receives(*sender, 0), no_channel) << "this process is not in b";
}

TEST(table, what_was_announced_between_hello_and_state_is_replayed_once) {
  one_process p(first);
  ASSERT_TRUE(p.t.join("a"));
  ASSERT_TRUE(p.t.join("b"));
  p.view({first}, {first});
  p.come_back();
  p.views.clear();
  p.now += 1s;
  p.view({first, third}, {third});
  p.come_back();
  p.t.deliver(third, 7, join_record{1, {{0, "a"}}});  // before its HELLO: it is in the table as well
  const auto others = speaks(p, third, {{third, 7, 1, {{0, 0}}}}, {"a"});
  p.t.deliver(third, 7, leave_record{2, {{0, reason::leave}}});
  p.t.deliver(third, 7, join_record{3, {{0, "b"}}});
  p.t.deliver(third, 7, others);
  EXPECT_EQ(p.views, std::vector<std::string>{"b: 1.1 2.1 +2.1/node_up"});
  EXPECT_EQ(p.t.counters().replayed, 2U);
  EXPECT_TRUE(p.faults.empty());
}

TEST(table, a_state_without_its_hello_in_this_epoch_is_ignored) {
  one_process p(first);
  p.view({first, third}, {first, third});
  const auto others = speaks(p, third, {{third, 7, 0, {}}}, {});
  p.view({first, second, third}, {second});  // a new epoch
  p.come_back();
  p.t.deliver(third, 7, others);
  EXPECT_EQ(p.t.counters().states_ignored, 1U);
  EXPECT_EQ(p.t.component_size(), 1U);
}

TEST(table, one_view_shows_all_who_left_with_their_node) {
  one_process p(first);
  ASSERT_TRUE(p.t.join("a"));
  p.view({first, second, third}, {first, second, third});
  const auto others = speaks(p, second, {{second, 7, 1, {{0, 0}}}, {third, 7, 1, {{0, 0}}}}, {"a"});
  p.come_back();
  p.t.deliver(second, 7, others);
  p.come_back();
  p.views.clear();
  p.view({first}, {}, {second, third}, reason::node_down);
  EXPECT_EQ(p.views, std::vector<std::string>{"a: 1.1 -1.2/node_down -2.1/node_down"});
  EXPECT_TRUE(p.t.all_together());
  EXPECT_EQ(p.t.sender(second, 7), nullptr);
}

TEST(table, ranks_send_hello_one_after_the_other) {
  one_process p(second);
  p.view({first, second}, {first, second});
  p.come_back();
  const auto lower = speaks(p, first, {{first, 7, 0, {}}}, {});
  p.t.deliver(first, 7, lower);
  ASSERT_TRUE(p.t.all_together());
  p.now += 1s;
  p.view({first, second, third}, {third});
  p.t.advance(p.now);
  EXPECT_EQ(p.count<hello_record>(), 0) << "the lowest address is first";
  ASSERT_TRUE(p.t.due());
  EXPECT_EQ(*p.t.due() - p.now, 50ms);
  p.now += 50ms;
  p.t.advance(p.now);
  EXPECT_EQ(p.count<hello_record>(), 1);
  EXPECT_EQ(*p.t.due() - p.now, 200ms);
  p.view({second, third}, {}, {first});  // now it is the lowest
  EXPECT_EQ(*p.t.due(), p.now);
}

TEST(table, hello_is_repeated_at_growing_intervals) {
  one_process p(first);
  p.view({first, third}, {first, third});
  std::vector<base::nanoseconds> pauses;
  for (int i = 0; i < 8; ++i) {
    p.t.advance(p.now);
    pauses.push_back(*p.t.due() - p.now);
    p.now = *p.t.due();
  }
  EXPECT_EQ(pauses, (std::vector<base::nanoseconds>{200ms, 400ms, 800ms, 1600ms, 3200ms, 5s, 5s, 5s}));
  EXPECT_EQ(p.count<hello_record>(), 8);
}

TEST(table, a_storm_of_newcomers_slows_hello_down) {
  one_process p(first);
  p.view({first}, {first});
  std::vector<member_address> members{first};
  std::vector<base::nanoseconds> pauses;
  for (std::uint32_t pid = 2; pid < 11; ++pid) {
    members.push_back({1, pid});
    p.view(members, {{1, pid}});
    pauses.push_back(*p.t.due() - p.now);
  }
  EXPECT_EQ(pauses, (std::vector<base::nanoseconds>{1ms, 2ms, 4ms, 8ms, 16ms, 32ms, 64ms, 100ms, 100ms}));
}

TEST(table, a_gap_in_the_operations_of_a_process_is_reported) {
  one_process p(first);
  p.view({first, third}, {first, third});
  p.come_back();
  const auto others = speaks(p, third, {{third, 7, 1, {{0, 0}}}}, {"a"});
  p.t.deliver(third, 7, others);
  p.t.deliver(third, 7, join_record{3, {{1, "b"}}});
  ASSERT_EQ(p.faults.size(), 1U);
  EXPECT_NE(p.faults[0].find("process 2:1 sent operation 3 after operation 1"), std::string::npos)
      << p.faults[0];
}

TEST(table, a_later_hello_of_a_process_replaces_the_one_before) {
  one_process p(first);
  p.view({first, third}, {first, third});
  p.come_back();
  const auto earlier = speaks(p, third, {{third, 7, 0, {}}}, {}, 1);
  const auto later = speaks(p, third, {{third, 7, 0, {}}}, {}, 2);
  p.t.deliver(third, 7, earlier);
  EXPECT_EQ(p.t.component_size(), 1U);
  p.t.deliver(third, 7, later);
  EXPECT_EQ(p.t.component_size(), 2U);
}

TEST(table, a_flood_of_operations_from_outside_the_component_is_bounded) {
  one_process p(first);
  p.view({first, third}, {first, third});
  std::uint64_t number = 1;
  leave_record flood;
  flood.entries.resize(10000);
  while (p.faults.empty() && number < 10'000'000) {
    flood.first_operation = number;
    p.t.deliver(third, 7, flood);
    number += flood.entries.size();
  }
  ASSERT_EQ(p.faults.size(), 1U);
  EXPECT_NE(p.faults[0].find("2:1 was the last one"), std::string::npos) << p.faults[0];
}

TEST(table, records_of_a_process_outside_the_carrier_are_ignored) {
  one_process p(first);
  p.view({first}, {first});
  const auto others = speaks(p, third, {{third, 7, 0, {}}}, {});
  p.t.deliver(third, 7, others);
  p.t.deliver(third, 7, join_record{5, {{0, "a"}}});
  p.t.deliver(third, 7, leave_record{6, {{0, reason::leave}}});
  EXPECT_EQ(p.t.component_size(), 1U);
  EXPECT_TRUE(p.faults.empty());
}

TEST(table, nonsense_in_a_state_is_counted_and_skipped) {
  one_process p(first);
  p.view({first, third}, {first, third});
  p.come_back();
  const auto others = speaks(
      p, third,
      {{third, 7, 4, {{0, 9}, {0xFF00, 0}, {1, 0}, {2, 0}, {3, 0, UINT32_MAX}}}, {{9, 9}, 1, 0, {}}}, {"a"});
  p.t.deliver(third, 7, others);
  EXPECT_EQ(p.t.counters().refused, 4U)
      << "an unknown name, an alias out of range, a channel twice, in a run";
  EXPECT_EQ(p.t.component_size(), 2U);
}

TEST(table, a_join_that_nobody_has_heard_of_can_be_taken_back) {
  one_process p(second);
  p.view({first, second}, {second});
  const auto a = p.t.join("a");
  ASSERT_TRUE(a);
  EXPECT_EQ(p.t.join("a").error(), errc::exist);
  EXPECT_FALSE(p.t.alias_for(*a));
  EXPECT_TRUE(p.t.leave(*a));
  EXPECT_EQ(p.t.leave(*a).error(), errc::not_joined);
  p.now += 1s;
  p.t.advance(p.now);
  EXPECT_EQ(p.count<join_record>(), 0);
  EXPECT_EQ(p.t.channels().size(), 0U);
}

TEST(table, a_channel_can_be_joined_again_while_its_leave_is_under_way) {
  one_process p(first);
  p.view({first}, {first});
  const auto a = p.t.join("a");
  p.come_back();
  ASSERT_TRUE(p.t.leave(*a));
  ASSERT_TRUE(p.t.join("a"));
  p.come_back();
  EXPECT_EQ(p.views, (std::vector<std::string>{"a: 1.1 +1.1/join", "a: -1.1/leave", "a: 1.1 +1.1/join"}));
  ASSERT_TRUE(p.t.leave(*a));
  p.come_back();
  EXPECT_EQ(p.t.channels().size(), 0U);
}

TEST(table, aliases_are_used_again_and_bounded) {
  one_process p(first);
  p.view({first}, {first});
  std::vector<std::uint32_t> all;
  for (std::uint32_t i = 0; i < aliases_max; ++i) {
    const auto one = p.t.join(fmt::format("{}", i));
    ASSERT_TRUE(one) << one.error().message();
    all.push_back(*one);
  }
  EXPECT_EQ(p.t.join("one more").error(), errc::no_resources);
  p.come_back();
  EXPECT_EQ(p.views.size(), all.size());
  ASSERT_TRUE(p.t.leave(all[5]));
  p.come_back();
  const auto again = p.t.join("one more");
  ASSERT_TRUE(again);
  p.come_back();
  EXPECT_EQ(p.t.alias_for(*again), alias{5});
}

TEST(table, an_addition_restarts_the_own_transfer) {
  one_process p(first);
  const auto a = p.t.join("a");
  p.view({first, third}, {first, third});
  const auto others = speaks(p, third, {{third, 7, 0, {}}}, {});
  p.come_back();
  p.t.deliver(third, 7, others);
  p.come_back();
  p.t.large().first(first, *a, p.t.large().begin(*a));
  p.t.deliver(third, 7, join_record{1, {{0, "a"}}});
  EXPECT_EQ(p.restarted, std::vector<std::uint32_t>{*a});
}

}  // namespace
