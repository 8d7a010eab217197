// At full load no message costs an allocation. The test counts every allocation of the process, on any
// thread.
#include <atomic>
#include <thread>

#include <fmt/format.h>

#include "support/counted_allocations.hpp"
#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

class allocation_on_corosync : public ::testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(with, allocation_on_corosync, ::testing::Values(0U, 2U),
                         [](const auto& info) { return fmt::format("{}_workers", info.param); });

TEST_P(allocation_on_corosync, no_allocation_per_message_at_full_load) {
  constexpr std::uint64_t warm = 20000, counted_messages = 100000, window = 1000;
  std::atomic<std::uint64_t> got{0};
  std::atomic<bool> joined{false};
  engine_options options;
  options.workers = GetParam();
  engine e(options);
  handle_options o;
  o.group = world::fresh_group();
  callbacks calls;
  calls.on_state = [&](handle&, const state_change& s) { joined = joined || s.to == handle_state::joined; };
  calls.on_message = [&](handle&, const message&) { got.fetch_add(1, std::memory_order_release); };
  auto h = e.open(o, std::move(calls));
  ASSERT_TRUE(h);
  ASSERT_TRUE(e.start());
  const auto wait_for = [](const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition() && std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
    }
    return condition();
  };
  ASSERT_TRUE(wait_for([&] { return joined.load(); }));
  const std::string payload(64, 'x');
  std::uint64_t sent = 0;
  const auto send_until = [&](std::uint64_t end) {
    const auto give_up = std::chrono::steady_clock::now() + patience;
    while (sent < end && std::chrono::steady_clock::now() < give_up) {
      if (sent < got.load(std::memory_order_acquire) + window && h->multicast(payload)) {
        ++sent;
      } else {
        std::this_thread::yield();
      }
    }
    return sent == end;
  };
  ASSERT_TRUE(send_until(warm));
  ASSERT_TRUE(wait_for([&] { return got == warm; }));
  // Buffers and queues grow to the depth that they reach. The driving thread stands still until a whole
  // window waits in the queue of the handle, so the messages below cannot go deeper.
  std::atomic<bool> queued{false};
  ASSERT_TRUE(e.post([&] { (void)wait_for([&] { return queued.load(); }); }));
  const bool all_queued = send_until(warm + window);
  queued = true;
  ASSERT_TRUE(all_queued);
  ASSERT_TRUE(wait_for([&] { return got == warm + window; }));
  const auto before = allocations_so_far();
  const auto stats_before = e.stats();
  ASSERT_TRUE(send_until(warm + window + counted_messages));
  ASSERT_TRUE(wait_for([&] { return got == warm + window + counted_messages; }));
  const auto made = allocations_so_far() - before;
  const auto s = e.stats();
  fmt::print("{} allocations for {} messages; {} system calls into the kernel's ring, {} doorbells\n", made,
             counted_messages, s.enters - stats_before.enters,
             s.total.doorbells - stats_before.total.doorbells);
  // Allowed: a few for queues whose depth does not depend on the window, such as those of the workers.
  EXPECT_LE(made, 300);
}

}  // namespace
