// Groups end to end: join, views, messages and leave, on every backend, on the embedded service and on
// corosync.
#include <set>
#include <thread>

#include <fmt/format.h>

#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

class flow_group : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_group, ::testing::ValuesIn(backends_here()), backend_name);

TEST_P(flow_group, reports_the_own_view_before_the_state_joined) {
  world w(GetParam());
  witness a;
  const auto name = world::fresh_group();
  open_joined(w, a, name);
  ASSERT_FALSE(a.views.empty());
  EXPECT_EQ(a.states, (std::vector{handle_state::ready, handle_state::joining, handle_state::joined}));
  EXPECT_EQ(a.self.group(), name);
  EXPECT_NE(a.self.local_node(), 0U);
  EXPECT_EQ(a.self.state(), handle_state::joined);
  bool view_first = false;
  for (const auto& line : a.all) {
    view_first = view_first || line.find(fmt::format("+{}", a.self.pid())) != std::string::npos;
    if (line == "state joined") {
      EXPECT_TRUE(view_first);
    }
  }
}

TEST_P(flow_group, delivers_messages_to_all_members_in_one_order) {
  world w(GetParam());
  witness a, b, c;
  const auto name = world::fresh_group();
  open_joined(w, a, name, 101);
  open_joined(w, b, name, 102);
  open_joined(w, c, name, 103);
  for (int i = 0; i < 200; ++i) {
    witness* from[] = {&a, &b, &c};
    result<void> sent;
    ASSERT_TRUE(w.until([&] {
      return (sent = from[i % 3]->self.multicast(fmt::format("message {}", i))).has_value() ||
             sent.error() != errc::try_again;
    }));
    ASSERT_TRUE(sent) << sent.error().message();
  }
  ASSERT_TRUE(w.until(
      [&] { return a.messages.size() == 200 && b.messages.size() == 200 && c.messages.size() == 200; }));
  EXPECT_EQ(a.messages, b.messages);
  EXPECT_EQ(a.messages, c.messages);
  EXPECT_EQ(std::set<std::string>(a.messages.begin(), a.messages.end()).size(), 200U);
  EXPECT_EQ(a.sequences.front(), 1U);
  EXPECT_EQ(a.sequences.back(), 200U);
}

TEST_P(flow_group, reports_joins_and_leaves_with_reasons) {
  world w(GetParam());
  witness a, b, again;
  const auto name = world::fresh_group();
  open_joined(w, a, name, 101);
  open_joined(w, b, name, 102);
  ASSERT_TRUE(w.until([&] { return a.views.back().find("+102") != std::string::npos; }));
  bool done = false;
  ASSERT_TRUE(b.self.leave([&](const result<void>& r) { done = r.has_value(); }));
  ASSERT_TRUE(w.until([&] { return done && a.views.back().find("-102/leave") != std::string::npos; }));
  EXPECT_TRUE(b.is(handle_state::left));
  EXPECT_NE(b.views.back().find("-102/leave"), std::string::npos) << "the leaver sees its own leave view";
  EXPECT_EQ(b.self.join(name).error(), errc::spent);
  EXPECT_EQ(b.self.multicast("x").error(), errc::not_joined);
  b.self.close();
  const std::uint64_t one = 1;
  ASSERT_TRUE(w.until([&] { return w.loop().stats().handles == one; }));
  open_joined(w, again, name, 102);
  again.self.close();
  ASSERT_TRUE(w.until([&] { return a.views.back().find("-102/process_down") != std::string::npos; }));
}

TEST_P(flow_group, lists_the_nodes_of_the_ring_in_each_view_once_it_is_known) {
  world w(GetParam());
  const std::string group = world::fresh_group();
  std::vector<std::vector<std::uint32_t>> nodes;
  std::vector<view_cause> causes;
  callbacks calls;
  calls.on_view = [&](handle&, const view& v) {
    nodes.emplace_back(v.ring_nodes.begin(), v.ring_nodes.end());
    causes.push_back(v.cause);
  };
  auto first = w.loop().open(w.options(group), std::move(calls));
  ASSERT_TRUE(first) << first.error().message();
  ASSERT_TRUE(w.until([&] { return !nodes.empty() && !nodes.back().empty(); }))
      << "in the first view, or in a later view of cause ring";
  const auto ring = nodes.back();
  const std::size_t before = nodes.size();
  witness second;
  open_joined(w, second, group, made_up_pid + 4711);
  ASSERT_TRUE(w.until([&] { return nodes.size() > before; }));
  EXPECT_EQ(causes.back(), view_cause::membership);
  EXPECT_EQ(nodes.back(), ring);
}

TEST_P(flow_group, delivers_nothing_after_a_leave_although_the_service_keeps_sending) {
  // Stock corosync sends messages and views until the connection ends.
  world w(GetParam());
  witness a, b, c;
  const auto name = world::fresh_group();
  open_joined(w, a, name, 101);
  open_joined(w, b, name, 102);
  ASSERT_TRUE(w.until([&] { return a.views.back().find("+102") != std::string::npos; }));
  ASSERT_TRUE(b.self.leave());
  ASSERT_TRUE(w.until(
      [&] { return b.is(handle_state::left) && a.views.back().find("-102/leave") != std::string::npos; }));
  const auto heard = b.all;
  open_joined(w, c, name, 103);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(a.self.multicast("to those who are left"));
  }
  bool answered = false;
  ASSERT_TRUE(w.until([&] { return a.messages.size() == 100; }));
  // The answer follows every event that the service has for this connection.
  ASSERT_TRUE(b.self.query_local_node([&](const result<std::uint32_t>& r) { answered = r.has_value(); }));
  ASSERT_TRUE(w.until([&] { return answered; }));
  EXPECT_EQ(b.all, heard);
}

TEST_P(flow_group, carries_every_size_up_to_the_limit_and_fragments_above_it) {
  world w(GetParam());
  witness a;
  open_joined(w, a, world::fresh_group(), 0, [](handle_options& o) { o.ring_bytes = 1 << 20; });
  const std::size_t limit = a.self.max_atomic_message();
  EXPECT_EQ(limit, 1047552U);
  std::vector<std::string> sent;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{4096}, limit - 1,
                                 limit, limit + 1, 3 * limit, 3 * limit + 17}) {
    std::string text(size, 'x');
    for (std::size_t i = 0; i < size; i += 997) {
      text[i] = static_cast<char>('a' + i % 26);
    }
    sent.push_back(text);
    result<void> outcome;
    ASSERT_TRUE(w.until([&] {
      return (outcome = a.self.multicast(text)).has_value() || outcome.error() != errc::try_again;
    }));
    ASSERT_TRUE(outcome) << size << ": " << outcome.error().message();
  }
  ASSERT_TRUE(w.until([&] { return a.messages.size() == sent.size(); })) << a.messages.size();
  for (std::size_t i = 0; i < sent.size(); ++i) {
    EXPECT_TRUE(a.messages[i] == sent[i])
        << "message " << i << " of " << sent[i].size() << " bytes came as " << a.messages[i].size();
  }
  EXPECT_TRUE(a.aborted.empty());
}

TEST_P(flow_group, refuses_what_is_above_large_message_max) {
  world w(GetParam());
  witness a;
  open_joined(w, a, world::fresh_group(), 0, [](handle_options& o) { o.large_message_max = 100000; });
  const std::string text(100001, 'x');
  EXPECT_EQ(a.self.multicast(text).error(), errc::too_big);
  result<void> crossed;
  std::thread([&] { crossed = a.self.multicast(text); }).join();
  EXPECT_EQ(crossed.error(), errc::too_big);
}

TEST_P(flow_group, distinguishes_names_that_differ_in_length_or_after_a_nul) {
  world w(GetParam());
  const auto stem = world::fresh_group();
  const std::string names[] = {stem, stem + std::string(1, '\0'), stem + std::string("\0a", 2),
                               stem + std::string("\0b", 2)};
  witness each[4];
  for (int i = 0; i < 4; ++i) {
    open_joined(w, each[i], names[i]);
    ASSERT_TRUE(each[i].self.multicast(fmt::format("for {}", i)));
  }
  ASSERT_TRUE(w.until([&] {
    return each[0].messages.size() + each[1].messages.size() + each[2].messages.size() +
               each[3].messages.size() ==
           4;
  }));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(each[i].messages, std::vector{fmt::format("for {}", i)});
  }
  EXPECT_TRUE(w.said("handle 3: its group name has a NUL byte inside"));
  EXPECT_FALSE(w.said("handle 1: its group name") || w.said("handle 2: its group name"))
      << "names without NUL and with one trailing NUL are common";
}

TEST_P(flow_group, refuses_invalid_names_at_once) {
  world w(GetParam());
  witness a;
  auto opened = w.loop().open(w.options(), a.record());
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->join("").error(), errc::invalid_param);
  EXPECT_EQ(opened->join(std::string(129, 'x')).error(), errc::name_too_long);
  ASSERT_TRUE(w.until([&] { return a.is(handle_state::ready); }));
  bool joined = false;
  ASSERT_TRUE(opened->join(std::string(128, 'x'), [&](const result<void>& r) { joined = r.has_value(); }));
  ASSERT_TRUE(w.until([&] { return joined; }));
  EXPECT_EQ(opened->join("other").error(), errc::exist);
}

TEST_P(flow_group, returns_exist_when_the_process_is_in_the_group_through_another_handle) {
  world w(GetParam());
  witness a, b;
  const auto name = world::fresh_group();
  open_joined(w, a, name);
  auto second = w.loop().open(w.options(), b.record());
  ASSERT_TRUE(second);
  std::optional<error> why;
  ASSERT_TRUE(second->join(name, [&](const result<void>& r) {
    if (!r)
      why = r.error();
  }));
  ASSERT_TRUE(w.until([&] { return why.has_value(); }));
  EXPECT_EQ(*why, errc::exist);
  EXPECT_TRUE(b.is(handle_state::ready)) << "the handle can still join another group";
}

TEST_P(flow_group, answers_queries) {
  world w(GetParam());
  witness a, b;
  const auto name = world::fresh_group();
  open_joined(w, a, name, 101);
  open_joined(w, b, name, 102);
  std::vector<std::uint32_t> pids;
  std::vector<group_entry> everybody;
  std::uint32_t node = 0;
  bool listed = false;
  ASSERT_TRUE(a.self.query_members(name, [&](const result<std::vector<member_address>>& r) {
    for (const auto& m : *r)
      pids.push_back(m.pid);
  }));
  ASSERT_TRUE(a.self.query_groups([&](const result<std::vector<group_entry>>& r) {
    everybody = *r;
    listed = true;
  }));
  ASSERT_TRUE(a.self.query_local_node([&](const result<std::uint32_t>& r) { node = *r; }));
  ASSERT_TRUE(w.until([&] { return listed && node != 0; }));
  std::sort(pids.begin(), pids.end());
  EXPECT_EQ(pids, (std::vector<std::uint32_t>{101, 102}));
  EXPECT_EQ(node, a.self.local_node());
  EXPECT_EQ(std::count_if(everybody.begin(), everybody.end(),
                          [&](const group_entry& m) { return m.group == name; }),
            2);
}

TEST_P(flow_group, lists_each_of_five_hundred_members) {
  if (!world::embedded()) {
    GTEST_SKIP() << "stock corosync corrupts its heap beyond 128 members of a node";
  }
  world w(GetParam(), {}, true);
  const auto name = world::fresh_group();
  std::vector<member> seen;  // members in the last view
  callbacks calls;
  calls.on_view = [&](handle&, const view& v) { seen.assign(v.members.begin(), v.members.end()); };
  auto h = w.loop().open(w.options(name), std::move(calls));
  ASSERT_TRUE(h);
  ASSERT_TRUE(w.until([&] { return seen.size() == 1; }));
  cpgring::testing::service_faults crowd;
  crowd.crowd = {.probability = 1, .at_most = 1};
  crowd.crowd_members = 500;
  ASSERT_TRUE(w.injector().inject(crowd));
  ASSERT_TRUE(h->multicast("let them come"));
  ASSERT_TRUE(w.until([&] { return seen.size() == 501; }));
  std::optional<result<std::vector<member_address>>> listed;
  ASSERT_TRUE(h->query_members(name, [&](const result<std::vector<member_address>>& r) { listed = r; }));
  ASSERT_TRUE(w.until([&] { return listed.has_value(); }));
  ASSERT_TRUE(*listed) << listed->error().message();
  ASSERT_EQ((*listed)->size(), seen.size());
  for (std::size_t i = 0; i < seen.size(); ++i) {
    ASSERT_TRUE((**listed)[i] == seen[i].address()) << i;
  }
}

TEST_P(flow_group, has_no_limit_of_128_members) {
  if (!world::embedded()) {
    GTEST_SKIP() << "stock corosync corrupts its heap beyond 128 members of a node";
  }
  world w(GetParam());
  const auto name = world::fresh_group();
  std::vector<std::unique_ptr<witness>> all;
  for (std::uint32_t i = 0; i < 140; ++i) {
    all.push_back(std::make_unique<witness>());
    handle_options o = w.options(name);
    cpgring::testing::simulate_pid(o, 1000 + i);
    auto opened = w.loop().open(o, all.back()->record());
    ASSERT_TRUE(opened);
    all.back()->self = *opened;
  }
  ASSERT_TRUE(w.until([&] {
    return std::all_of(all.begin(), all.end(), [](const auto& one) { return one->is(handle_state::joined); });
  }));
  ASSERT_TRUE(all[135]->self.multicast("to all"));
  ASSERT_TRUE(w.until([&] {
    return std::all_of(all.begin(), all.end(), [](const auto& one) { return one->messages.size() == 1; });
  }));
  EXPECT_TRUE(w.said("beyond 128 from one node"));
}

TEST_P(flow_group, takes_multicasts_from_many_threads_and_keeps_each_threads_order) {
  world w(GetParam());
  witness a;
  open_joined(w, a, world::fresh_group());
  constexpr int threads = 3, each = 2000;
  std::vector<std::thread> senders;
  for (int t = 0; t < threads; ++t) {
    senders.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        const auto text = fmt::format("{} {}", t, i);
        for (;;) {
          auto sent = a.self.multicast(text);
          if (sent)
            break;
          ASSERT_EQ(sent.error(), errc::try_again) << sent.error().message();
          std::this_thread::yield();
        }
      }
    });
  }
  EXPECT_TRUE(w.until([&] { return a.messages.size() == threads * each; }));
  for (auto& t : senders)
    t.join();
  int next[threads] = {};
  for (const auto& m : a.messages) {
    int t = 0, i = 0;
    ASSERT_EQ(std::sscanf(m.c_str(), "%d %d", &t, &i), 2);
    ASSERT_EQ(i, next[t]++) << "thread " << t;
  }
  EXPECT_EQ(w.loop().stats().total.messages, static_cast<std::uint64_t>(threads * each));
}

TEST_P(flow_group, writes_in_place_through_a_reservation) {
  world w(GetParam());
  witness a;
  open_joined(w, a, world::fresh_group());
  {
    auto room = a.self.reserve(100);
    ASSERT_TRUE(room) << room.error().message();
    ASSERT_EQ(room->bytes().size(), 100U);
    EXPECT_EQ(a.self.reserve(1).error(), errc::busy);
    EXPECT_EQ(a.self.multicast("x").error(), errc::busy);
    std::memcpy(room->bytes().data(), "in place", 8);
    ASSERT_TRUE(room->commit(8));
    EXPECT_EQ(room->commit(8).error(), errc::bad_handle);
  }
  {
    auto dropped = a.self.reserve(50);
    ASSERT_TRUE(dropped);
  }
  ASSERT_TRUE(a.self.multicast("after"));
  EXPECT_EQ(a.self.reserve(a.self.max_atomic_message() + 1).error(), errc::too_big);
  ASSERT_TRUE(w.until([&] { return a.messages.size() == 2; }));
  EXPECT_EQ(a.messages, (std::vector<std::string>{"in place", "after"}));
  std::thread([&] { EXPECT_EQ(a.self.reserve(1).error(), errc::wrong_thread); }).join();
}

TEST_P(flow_group, reports_writable_after_a_refusal) {
  world w(GetParam());
  witness a;
  open_joined(w, a, world::fresh_group());
  const std::string text(8000, 'x');
  std::size_t sent = 0;
  result<void> outcome;
  while ((outcome = a.self.multicast(text))) {
    ++sent;
    ASSERT_LT(sent, 100000U) << "nothing ever refused";
  }
  ASSERT_EQ(outcome.error(), errc::try_again);
  ASSERT_TRUE(w.until([&] { return a.writable == 1 && a.messages.size() == sent; }));
  EXPECT_TRUE(a.self.multicast("again"));
}

TEST_P(flow_group, delivers_everything_when_closed_right_after_the_last_multicast) {
  world w(GetParam());
  witness a, b;
  const auto name = world::fresh_group();
  open_joined(w, a, name, 101);
  open_joined(w, b, name, 102);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(b.self.multicast(fmt::format("{}", i))) << i;
  }
  b.self.close();
  ASSERT_TRUE(w.until([&] { return a.views.back().find("-102/process_down") != std::string::npos; }));
  EXPECT_EQ(a.messages.size(), 100U);
  EXPECT_TRUE(b.is(handle_state::closed));
  EXPECT_EQ(b.self.multicast("x").error(), errc::bad_handle);
}

TEST_P(flow_group, delivers_everything_when_the_engine_ends_right_after_the_last_multicast) {
  world w(GetParam());
  witness a;
  const auto name = world::fresh_group();
  open_joined(w, a, name, 101);
  {
    engine other;
    witness b;
    handle_options o = w.options(name);
    cpgring::testing::simulate_pid(o, 102);
    auto opened = other.open(o, b.record());
    ASSERT_TRUE(opened);
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!b.is(handle_state::joined) && std::chrono::steady_clock::now() < end) {
      ASSERT_TRUE(other.dispatch(mode::blocking, budget{1, 0, std::chrono::milliseconds(5)}));
    }
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(opened->multicast(fmt::format("{}", i))) << i;
    }
  }
  ASSERT_TRUE(w.until([&] { return a.views.back().find("-102/process_down") != std::string::npos; }));
  EXPECT_EQ(a.messages.size(), 100U);
}

TEST_P(flow_group, a_close_in_an_idle_engine_does_not_wait_for_close_deadline) {
  world w(GetParam(), [](engine_options& o) { o.close_deadline = std::chrono::hours(1); });
  witness stays, goes;
  const auto group = world::fresh_group();
  open_joined(w, stays, group);
  open_joined(w, goes, group, made_up_pid + 4711);
  while (w.loop().dispatch(mode::one_nonblocking)) {
  }
  goes.self.close();
  EXPECT_TRUE(w.until([&] { return stays.views.back().find("-1000004711") != std::string::npos; }))
      << stays.views.back();
}

}  // namespace
