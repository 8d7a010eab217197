// What an engine reports about all its handles together: their list, losses and returns of services, rings
// larger than /dev/shm; and flush().
#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class flow_overview : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_overview, ::testing::ValuesIn(backends_here()), backend_name);

TEST_P(flow_overview, lists_the_open_handles_with_their_states) {
  world w(GetParam());
  EXPECT_TRUE(w.loop().handles().empty());
  const auto group = world::fresh_group();
  auto in_group = w.loop().open(w.options(group), {}), in_none = w.loop().open(w.options(), {});
  ASSERT_TRUE(in_group && in_none);
  ASSERT_TRUE(w.until(
      [&] { return in_group->state() == handle_state::joined && in_none->state() == handle_state::ready; }));
  const auto all = w.loop().handles();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0], *in_group);
  EXPECT_EQ(all[0].group(), group);
  EXPECT_EQ(all[1], *in_none);
  EXPECT_EQ(all[1].state(), handle_state::ready);
  in_group->close();
  EXPECT_TRUE(w.until([&] { return w.loop().handles() == std::vector{*in_none}; }));
}

TEST_P(flow_overview, lists_the_handles_of_all_reactors_and_supervised_ones_that_are_away) {
  world w(GetParam(), [](engine_options& o) { o.reactors = 2; });
  handle_options away = w.options("g");
  away.service = world::fresh_group("nobody");
  away.supervision.reconnect = true;
  std::vector<handle> mine;
  for (int i = 0; i < 3; ++i) {
    auto opened = w.loop().open(i == 1 ? away : w.options(world::fresh_group()), {});
    ASSERT_TRUE(opened);
    mine.push_back(*opened);
  }
  ASSERT_TRUE(w.loop().start());
  EXPECT_TRUE(eventually(
      [&] { return mine[0].state() == handle_state::joined && mine[2].state() == handle_state::joined; }));
  EXPECT_EQ(w.loop().handles(), mine);
}

TEST_P(flow_overview, reports_each_loss_and_each_return_of_a_service_once) {
  embedded_service_options options;
  options.name = world::fresh_group("comes-and-goes");
  auto service = std::make_unique<embedded_service>(options);
  std::vector<std::string> heard;
  engine_options o;
  o.wakeup_backend = GetParam();
  o.on_service = [&](const service_change& change) {
    heard.push_back(fmt::format("{} {}", change.service == options.name ? "the service" : change.service,
                                change.there ? "back" : "gone"));
    EXPECT_EQ(change.cause.has_value(), !change.there);
  };
  engine loop(o);
  std::vector<handle> all;
  for (int i = 0; i < 20; ++i) {
    handle_options h;
    h.service = options.name;
    h.group = fmt::format("g{}", i);
    h.ring_bytes = 65536;
    h.supervision.reconnect = true;
    auto opened = loop.open(h, {});
    ASSERT_TRUE(opened);
    all.push_back(*opened);
  }
  const auto joined = [&] {
    return std::all_of(all.begin(), all.end(),
                       [](const handle& h) { return h.state() == handle_state::joined; });
  };
  ASSERT_TRUE(drive(loop, joined));
  EXPECT_TRUE(heard.empty()) << "the service was there from the start";
  for (int round = 0; round < 2; ++round) {
    heard.clear();
    service.reset();
    ASSERT_TRUE(drive(loop, [&] { return heard.size() == 1; }));
    service = std::make_unique<embedded_service>(options);
    ASSERT_TRUE(drive(loop, joined));
    ASSERT_TRUE(drive(loop, [&] { return heard.size() == 2; }));
    EXPECT_THAT(heard, ElementsAre("the service gone", "the service back"));
  }
}

TEST_P(flow_overview, warns_once_when_rings_exceed_dev_shm) {
  std::vector<std::string> lines;
  engine_options o;
  o.wakeup_backend = GetParam();
  o.log = [&](log_level, std::string_view text) { lines.emplace_back(text); };
  engine loop(o);
  handle_options h;
  h.service = world::fresh_group("nobody");
  h.ring_bytes = ring_bytes_max;
  const auto reported = [&] {
    return std::count_if(lines.begin(), lines.end(),
                         [](const auto& l) { return l.find("/dev/shm has") != std::string::npos; });
  };
  // Nothing drives the engine, so no ring is created: the warning counts the sizes that the handles request.
  for (int i = 0; i < 20000 && reported() == 0; ++i) {
    ASSERT_TRUE(loop.open(h, {}));
  }
  ASSERT_EQ(reported(), 1);
  ASSERT_TRUE(loop.open(h, {}));
  EXPECT_EQ(reported(), 1);
}

TEST_P(flow_overview, a_flush_completes_after_all_earlier_multicasts) {
  world w(GetParam());
  witness a;
  open_joined(w, a, world::fresh_group());
  for (int round = 0; round < 5; ++round) {
    const std::size_t before = a.messages.size();
    std::size_t sent = 0;
    while (sent < 40 && a.self.multicast(std::string(1000, 'x'))) {
      ++sent;
    }
    std::optional<result<void>> outcome;
    ASSERT_TRUE(a.self.flush(patience, [&](result<void> o) { outcome = std::move(o); }));
    ASSERT_TRUE(w.until([&] { return outcome.has_value(); }));
    EXPECT_TRUE(*outcome);
    EXPECT_EQ(a.self.stats().multicasts, sent + before);
    ASSERT_TRUE(w.until([&] { return a.messages.size() == before + sent; }));
  }
}

TEST_P(flow_overview, a_flush_reports_why_it_is_refused) {
  world w(GetParam());
  handle_options o = w.options();
  o.supervision.queue_bytes = 100;
  auto opened = w.loop().open(o, {});
  ASSERT_TRUE(opened);
  ASSERT_TRUE(w.until([&] { return opened->state() == handle_state::ready; }));
  const auto nothing = [](result<void>) {};
  EXPECT_EQ(opened->flush(0ms, nothing).error(), errc::invalid_param);
  EXPECT_EQ(opened->flush(1s, {}).error(), errc::invalid_param);
  EXPECT_EQ(handle().flush(1s, nothing).error(), errc::bad_handle);
  ASSERT_TRUE(opened->multicast("kept"));
  ASSERT_TRUE(w.loop().dispatch(mode::all));
  std::optional<error> why;
  const auto asked = opened->flush(
      1s, [&](result<void> outcome) { why = outcome ? std::nullopt : std::optional(outcome.error()); });
  if (!asked) {
    why = asked.error();
  }
  ASSERT_TRUE(w.until([&] { return why.has_value(); }));
  EXPECT_EQ(*why, errc::not_joined);
  EXPECT_THAT(why->message(), HasSubstr("on_state"));
}

TEST_P(flow_overview, slow_inline_callbacks_show_in_statistics_and_in_on_overload) {
  world w(GetParam());
  handle_options o = w.options(world::fresh_group());
  std::vector<overload_warning> warnings;
  int got = 0;
  callbacks calls;
  calls.on_message = [&](handle&, const message&) {
    ++got;
    std::this_thread::sleep_for(1ms);
  };
  calls.on_overload = [&](handle&, const overload_warning& one) { warnings.push_back(one); };
  auto opened = w.loop().open(o, std::move(calls));
  ASSERT_TRUE(opened);
  ASSERT_TRUE(w.until([&] { return opened->state() == handle_state::joined; }));
  // More than half of the ring is used before the first callback runs, and stays used for a while.
  int sent = 0;
  engine other;
  auto sender = other.open(
      [&] {
        handle_options s = o;
        testing::simulate_pid(s, made_up_pid);
        return s;
      }(),
      {});
  ASSERT_TRUE(sender);
  ASSERT_TRUE(drive(other, [&] { return sender->state() == handle_state::joined; }));
  ASSERT_TRUE(drive(other, [&] {
    while (sent < 50 && sender->multicast(std::string(1000, 'x'))) {
      ++sent;
    }
    return sent == 50;
  }));
  std::optional<result<void>> flushed;
  ASSERT_TRUE(sender->flush(patience, [&](result<void> outcome) { flushed = std::move(outcome); }));
  ASSERT_TRUE(drive(other, [&] { return flushed.has_value(); }));
  const auto end = std::chrono::steady_clock::now() + patience;
  while (got < 50 && std::chrono::steady_clock::now() < end) {
    ASSERT_TRUE(w.loop().dispatch(mode::blocking, budget{1, 0, 10ms}));
  }
  ASSERT_EQ(got, 50);
  const auto stats = opened->stats();
  EXPECT_GE(stats.callback_ns, 50000000U);
  EXPECT_GE(stats.ring_used_max, 32768U);
  EXPECT_EQ(stats.overloads, 1U);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_GE(warnings[0].ring_used, warnings[0].ring_size / 2);
  EXPECT_GE(warnings[0].oldest_age, 1ms);
}

}  // namespace
}  // namespace cpgring::test
