// A callback that sleeps, on a real daemon at 20 MB/s: order is kept, nothing is lost, and the daemon's
// memory does not grow. The same load on stock libcpg runs for comparison only.
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <thread>

#include <fmt/format.h>

#include "support/command.hpp"
#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

constexpr std::uint32_t handles = 200;
constexpr std::size_t size = 4000;
constexpr std::uint64_t per_second = 5000, seconds = 6, count = per_second * seconds;
// In that time half of the load fills the rings of those handles three times.
constexpr std::chrono::seconds nap{2};

/// The daemon's anonymous memory in KiB, without files and shared memory.
long anonymous_memory_of_corosync() {
  std::string pid = child({std::getenv("COROSYNC_CONTROL"), "pid"}).wait().out;
  std::ifstream status("/proc/" + pid.substr(0, pid.find('\n')) + "/status");
  for (std::string word; status >> word;) {
    if (word == "RssAnon:") {
      long kib = 0;
      status >> kib;
      return kib;
    }
  }
  return -1;
}

/// Members of the groups that only send, at a fixed rate while `may_go_on` allows it.
class senders {
 public:
  explicit senders(const std::string& prefix) {
    for (std::uint32_t i = 0; i < handles; ++i) {
      handle_options o;
      o.group = fmt::format("{}{}", prefix, i);
      o.ring_bytes = 65536;
      cpgring::testing::simulate_pid(o, made_up_pid + i);
      callbacks calls;
      calls.on_state = [this](handle&, const state_change& s) {
        joined_ += s.to == handle_state::joined ? 1U : 0U;
      };
      auto opened = engine_.open(o, std::move(calls));
      EXPECT_TRUE(opened);
      all_.push_back(*opened);
    }
    EXPECT_TRUE(engine_.start());
    while (joined_ < handles) {
      std::this_thread::yield();
    }
  }
  /// Sends everything and returns the largest growth of the daemon in KiB. `may_go_on(n)`: may the nth
  /// message be sent now?
  long send_all(const std::function<bool(std::uint64_t)>& may_go_on = {}) {
    const long before = anonymous_memory_of_corosync();
    long most = before;
    std::vector<std::byte> payload(size);
    const auto began = std::chrono::steady_clock::now();
    for (std::uint64_t k = 0; k < count; ++k) {
      std::this_thread::sleep_until(began + std::chrono::nanoseconds(1000000000 / per_second * k));
      const std::uint64_t number = k / handles;
      std::memcpy(payload.data(), &number, sizeof number);
      while ((may_go_on && !may_go_on(k)) || !all_[k % handles].multicast(payload)) {
        std::this_thread::yield();
      }
      if (k % 1000 == 0) {
        most = std::max(most, anonymous_memory_of_corosync());
      }
    }
    return std::max(most, anonymous_memory_of_corosync()) - before;
  }

 private:
  std::atomic<std::uint32_t> joined_{0};
  engine engine_;
  std::vector<handle> all_;
};

struct consumer {
  std::atomic<std::uint64_t> next{0};
};

TEST(slow_worker_on_corosync, keeps_order_loses_nothing_and_the_daemon_does_not_grow) {
  std::vector<consumer> seen(handles);
  std::atomic<std::uint64_t> got{0}, got_awake{0}, wrong{0};
  std::atomic<std::uint32_t> joined{0}, sleeps{0};
  std::atomic<bool> sending{false};
  std::chrono::steady_clock::time_point next_sleep{};  // used by the worker that sleeps
  engine_options options;
  options.workers = 2;
  engine e(options);
  std::vector<handle> all;
  for (std::uint32_t i = 0; i < handles; ++i) {
    handle_options o;
    o.group = fmt::format("slow-worker-{}", i);
    o.ring_bytes = 65536;
    callbacks calls;
    calls.on_state = [&](handle&, const state_change& s) {
      joined += s.to == handle_state::joined ? 1U : 0U;
    };
    calls.on_message = [&, i](handle& h, const message& m) {
      std::uint64_t number = 0;
      std::memcpy(&number, m.bytes().data(), sizeof number);
      const std::uint64_t expected = seen[i].next.fetch_add(1, std::memory_order_relaxed);
      wrong += number != expected || m.bytes().size() != size ? 1U : 0U;
      if (h.id() % 2 == 0 && sending && std::chrono::steady_clock::now() >= next_sleep) {
        ++sleeps;
        std::this_thread::sleep_for(nap);
        next_sleep = std::chrono::steady_clock::now() + std::chrono::seconds(1);
      }
      got_awake += h.id() % 2;
      ++got;
    };
    auto opened = e.open(o, std::move(calls));
    ASSERT_TRUE(opened);
    all.push_back(*opened);
  }
  ASSERT_TRUE(e.start());
  const auto eventually = [](const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return condition();
  };
  ASSERT_TRUE(eventually([&] { return joined == handles; }));
  long growth = 0;
  {
    senders load("slow-worker-");
    sending = true;
    // On a machine that gives this engine too little CPU time the daemon would grow as well. So the handles
    // that never sleep set the pace: their unread messages fit into their rings. Handles that sleep get as
    // many messages.
    constexpr std::uint64_t behind_max = handles / 2 * (65536 / size - 4);
    const auto end = std::chrono::steady_clock::now() + patience;
    growth = load.send_all([&](std::uint64_t sent) {
      return sent / 2 <= got_awake + behind_max || std::chrono::steady_clock::now() > end;
    });
    sending = false;
    EXPECT_TRUE(eventually([&] { return got == count; })) << got << " of " << count;
  }
  const auto s = e.stats();
  fmt::print("cpgring: {} messages, {} sleeps of {} s, corosync grew by {} KiB; {} messages copied out\n",
             got.load(), sleeps.load(), nap.count(), growth, s.total.copied_out);
  EXPECT_EQ(wrong, 0U) << "out of order or damaged";
  EXPECT_GE(sleeps, 2U);
  EXPECT_LT(growth, 8 * 1024);
}

TEST(slow_worker_on_corosync, the_same_load_on_stock_libcpg) {
  child peer(
      {std::string(CPGRING_PEERS_DIR) + "/slow_consumer", "slow-libcpg-", std::to_string(handles), "100"},
      "");
  const bool ready = peer.until_it_says("ready");
  if (ready) {
    senders load("slow-libcpg-");
    const long growth = load.send_all();
    fmt::print("libcpg: the same load, corosync grew by {} KiB\n", growth);
  }
  EXPECT_TRUE(ready);
}

}  // namespace
