// A member that does not read: the embedded service bounds its memory by disconnecting that member or by
// blocking all senders.
#include <mutex>

#include <fmt/format.h>

#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

constexpr std::size_t limit = 256 * 1024;

/// A service with that limit, a member that reads and sends, and a member on an engine that is not driven.
struct slow_member : ::testing::Test {
  void begin(slow_member_policy policy) {
    embedded_service_options o;
    o.member_backlog_bytes_max = limit;
    o.slow_member = policy;
    o.log = [this](log_level, std::string_view text) {
      const std::lock_guard lock(log_lock);
      log += fmt::format("{}\n", text);
    };
    service = std::make_unique<embedded_service>(o);
    open(fast_loop, fast, 0);
    open(slow_loop, slow, made_up_pid + 4711);
    ASSERT_TRUE(drive(fast_loop, [&] { return fast.views.size() == 2 || fast.views.size() == 3; }));
  }
  void open(engine& loop, witness& into, std::uint32_t pid) {
    handle_options o;
    o.service = service->name();
    o.group = "slow";
    cpgring::testing::simulate_pid(o, pid);
    o.ring_bytes = ring_bytes_min;
    auto opened = loop.open(o, into.record());
    ASSERT_TRUE(opened);
    into.self = *opened;
    ASSERT_TRUE(drive(loop, [&] { return into.is(handle_state::joined); }));
  }
  template <class Condition>
  static bool drive(engine& loop, Condition condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) {
        return false;
      }
      static_cast<void>(loop.dispatch(mode::blocking, budget{64, 0, std::chrono::milliseconds(2)}));
    }
    return true;
  }
  [[nodiscard]] std::string said() {
    const std::lock_guard lock(log_lock);
    return log;
  }
  /// False: the handle returned try_again.
  bool send(int number) {
    auto sent = fast.self.multicast(fmt::format("{:0>1000}", number));
    EXPECT_TRUE(sent || sent.error() == errc::try_again) << sent.error().message();
    return sent.has_value();
  }

  std::mutex log_lock;
  std::string log;
  std::unique_ptr<embedded_service> service;
  witness fast, slow;
  engine fast_loop, slow_loop;
};

TEST_F(slow_member, is_disconnected_at_the_limit_and_the_others_see_it_leave) {
  begin(slow_member_policy::disconnect);
  std::uint64_t most = 0;
  int sent = 0;
  ASSERT_TRUE(drive(fast_loop, [&] {
    sent += send(sent) ? 1 : 0;
    most = std::max(most, service->stats().backlog_bytes);
    return fast.views.back().find("-1000004711/process_down") != std::string::npos;
  })) << fast.views.back();
  EXPECT_LE(most, limit);
  EXPECT_GT(most, 0U);
  EXPECT_EQ(service->stats().members_disconnected, 1U);
  EXPECT_EQ(service->stats().backlog_bytes, 0U);
  EXPECT_NE(said().find("it does not read"), std::string::npos) << said();
  ASSERT_TRUE(drive(fast_loop, [&] { return fast.messages.size() == static_cast<std::size_t>(sent); }))
      << "the other member lost nothing";
  ASSERT_TRUE(drive(slow_loop, [&] { return slow.is(handle_state::lost); }));
  for (std::size_t i = 0; i < slow.messages.size(); ++i) {
    EXPECT_EQ(std::stoul(slow.messages[i]), i)
        << "the messages that the slow member got are complete and in order";
  }
}

TEST_F(slow_member, blocks_all_senders_at_the_limit_until_it_reads) {
  begin(slow_member_policy::block);
  std::uint64_t most = 0;
  int sent = 0, refused = 0;
  ASSERT_TRUE(drive(fast_loop, [&] {
    const bool taken = send(sent);
    sent += taken ? 1 : 0;
    refused = taken ? 0 : refused + 1;
    most = std::max(most, service->stats().backlog_bytes);
    return refused == 100;  // the refusals last
  })) << sent;
  // The limit may be exceeded by the sender's ring and by one batch that the service had already taken.
  EXPECT_LE(most, limit + 64 * 1024);
  EXPECT_GE(most, limit / 2);
  EXPECT_EQ(service->stats().members_disconnected, 0U);
  const auto everything = [&] { return fast.messages.size() == static_cast<std::size_t>(sent); };
  const auto end = std::chrono::steady_clock::now() + patience;
  while ((!everything() || slow.messages.size() != fast.messages.size()) &&
         std::chrono::steady_clock::now() < end) {
    static_cast<void>(slow_loop.dispatch(mode::blocking, budget{64, 0, std::chrono::milliseconds(1)}));
    static_cast<void>(fast_loop.dispatch(mode::blocking, budget{64, 0, std::chrono::milliseconds(1)}));
  }
  EXPECT_EQ(fast.messages.size(), static_cast<std::size_t>(sent));
  EXPECT_EQ(slow.messages, fast.messages);
  EXPECT_TRUE(send(sent)) << "accepted again";
}

}  // namespace
