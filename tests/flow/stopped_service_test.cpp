// A service that is stopped (SIGSTOP) blocks no call: calls that wait end at their deadline, all others
// return at once.
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "support/service_process.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr auto deadline = 150ms;
// Extra time for busy machines and sanitizers. A call that waited for the service would never return.
constexpr auto allowance = 10s;

struct stopped_service : ::testing::TestWithParam<std::tuple<wakeup, std::uint32_t>> {
  service_process service;
  std::unique_ptr<engine> loop;
  std::string table;

  template <class Call>
  auto timed(const std::string& what, std::chrono::milliseconds most, Call&& call) {
    struct lap {
      stopped_service& of;
      const std::string& what;
      std::chrono::milliseconds most;
      steady::time_point began = steady::now();
      ~lap() {
        const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(steady::now() - began);
        EXPECT_LT(took, most + allowance) << what;
        of.table += fmt::format("{:<44}{:>8} ms, may wait {:>5} ms\n", what, took.count(), most.count());
      }
    } timer{*this, what, most};
    return call();
  }
  void SetUp() override {
    engine_options o;
    o.wakeup_backend = std::get<0>(GetParam());
    o.workers = std::get<1>(GetParam());
    o.close_deadline = deadline;
    loop = std::make_unique<engine>(o);
  }
  void TearDown() override {
    timed("engine's destructor", deadline, [&] { loop.reset(); });
    fmt::print("{}", table);
    service.resume();
  }
  handle_options options() const {
    handle_options o;
    o.service = service.name();
    o.ring_bytes = 65536;
    o.send_queue_bytes = 1 << 18;
    o.connect_deadline = o.control_deadline = patience;
    return o;
  }
  bool until(const std::function<bool()>& condition) const {
    const auto end = steady::now() + patience;
    while (!condition()) {
      if (steady::now() > end || !loop->dispatch(mode::blocking, budget{64, 0, 2ms})) {
        return condition();
      }
    }
    return true;
  }
  handle open(handle_state wanted) {
    auto o = options();
    o.control_deadline = deadline;
    if (wanted == handle_state::joined) {
      o.group = world::fresh_group("stopped");
    }
    auto opened = loop->open(o, {});
    EXPECT_TRUE(opened);
    EXPECT_TRUE(until([&] { return opened->state() == wanted; }));
    return *opened;
  }
  /// Makes a request and drives the engine until its completion runs.
  template <class T>
  void asked(const std::string& what,
             const std::function<result<void>(std::function<void(result<T>)>)>& request) {
    int calls = 0;
    std::optional<error> why;
    const auto done = [&](const result<T>& r) {
      ++calls;
      if (!r) {
        why = r.error();
      }
    };
    const auto accepted = timed(what, 0ms, [&] { return request(done); });
    ASSERT_TRUE(accepted) << what << ": " << accepted.error().message();
    timed(what + ": its completion", deadline,
          [&] { EXPECT_TRUE(until([&] { return calls != 0; })) << what; });
    EXPECT_EQ(calls, 1) << what;
    ASSERT_TRUE(why) << what << " was answered by a service that does not run";
    EXPECT_EQ(*why, errc::timeout) << what;
  }
};

TEST_P(stopped_service, delays_no_call_beyond_its_deadline) {
  handle ready = open(handle_state::ready), joined = open(handle_state::joined),
         sender = open(handle_state::joined), leaver = open(handle_state::joined);
  while (loop->dispatch(mode::one_nonblocking)) {
  }
  service.stop();

  asked<void>("join", [&](auto done) { return ready.join("stopped", done); });
  asked<void>("leave", [&](auto done) { return leaver.leave(done); });
  asked<std::vector<member_address>>("query_members",
                                     [&](auto done) { return joined.query_members("stopped", done); });
  asked<std::vector<group_entry>>("query_groups", [&](auto done) { return joined.query_groups(done); });
  asked<std::uint32_t>("query_local_node", [&](auto done) { return joined.query_local_node(done); });

  // Sending never waits: calls are accepted while there is room, then refused with try_again.
  constexpr int more_than_fits = 100000;
  result<void> sent;
  timed("reserve and commit, until refused", 0ms, [&] {
    for (int i = 0; i < more_than_fits && sent; ++i) {
      auto room = sender.reserve(1000);
      sent = room ? room->commit() : result<void>(fail(room.error()));
    }
  });
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error(), errc::try_again);
  const std::string text(1000, 'x'), in_fragments(200000, 'f');
  timed("multicast, until refused", 0ms, [&] {
    for (int i = 0; i < more_than_fits && (sent = joined.multicast(text)); ++i) {
    }
  });
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error(), errc::try_again);
  sent = timed("multicast in fragments", 0ms, [&] { return joined.multicast(in_fragments); });
  asked<std::uint32_t>("query_local_node behind a full ring",
                       [&](auto done) { return joined.query_local_node(done); });

  timed("dispatch(one_nonblocking)", 0ms, [&] {
    const auto done = loop->dispatch(mode::one_nonblocking);
    EXPECT_TRUE(done || done.error() == errc::try_again);
  });
  timed("dispatch(all)", 0ms, [&] { EXPECT_TRUE(loop->dispatch(mode::all)); });
  timed("poll_once", 0ms, [&] { EXPECT_TRUE(loop->poll_once()); });
  timed("dispatch(one), a budget of 20 ms", 20ms, [&] {
    EXPECT_TRUE(loop->dispatch(mode::one, budget{0, 0, 20ms}));
  });
  timed("dispatch(blocking), a budget of 20 ms", 20ms, [&] {
    EXPECT_TRUE(loop->dispatch(mode::blocking, budget{0, 0, 20ms}));
  });
  timed("a handle's dispatch(all)", 0ms, [&] { EXPECT_TRUE(joined.dispatch(mode::all)); });
  timed("a handle's dispatch(one), a budget of 20 ms", 20ms, [&] {
    EXPECT_TRUE(joined.dispatch(mode::one, budget{0, 0, 20ms}));
  });
  timed("state, group, stats", 0ms, [&] {
    EXPECT_EQ(joined.state(), handle_state::joined);
    EXPECT_FALSE(joined.group().empty());
    EXPECT_EQ(loop->stats().handles, 4U);
  });

  auto o = options();
  o.connect_deadline = deadline;
  std::optional<error> why;
  callbacks c;
  c.on_state = [&](handle&, const state_change& s) {
    if (s.cause != nullptr) {
      why = *s.cause;
    }
  };
  auto late = timed("open", 0ms, [&] { return loop->open(o, std::move(c)); });
  ASSERT_TRUE(late);
  timed("open: its loss", deadline,
        [&] { EXPECT_TRUE(until([&] { return late->state() == handle_state::lost && why; })); });
  ASSERT_TRUE(why);
  EXPECT_EQ(*why, errc::timeout);

  timed("close", 0ms, [&] { joined.close(); });
  timed("close: until it has gone", deadline,
        [&] { EXPECT_TRUE(until([&] { return loop->stats().handles == 3; })); });
  timed("stop", 0ms, [&] { loop->stop(); });
}

INSTANTIATE_TEST_SUITE_P(on, stopped_service,
                         ::testing::Combine(::testing::ValuesIn(backends_here()), ::testing::Values(0U, 2U)),
                         [](const auto& p) {
                           return std::string(to_string(std::get<0>(p.param))) +
                                  (std::get<1>(p.param) == 0 ? "_inline" : "_workers");
                         });

}  // namespace
}  // namespace cpgring::test
