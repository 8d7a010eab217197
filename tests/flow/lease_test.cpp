// Leases keep messages beyond their callback: with inline callbacks and workers, in the ring and copied out,
// beyond the end of the handle and of the engine.
#include <atomic>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>

#include <fmt/format.h>

#include "support/filler.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

struct place {
  wakeup backend;
  std::uint32_t workers;
};
void PrintTo(const place& p, std::ostream* os) { *os << to_string(p.backend) << " with " << p.workers; }

std::vector<place> every_place() {
  std::vector<place> all;
  for (const wakeup b : backends_here()) {
    all.push_back({b, 0});
    all.push_back({b, 2});
  }
  return all;
}

class flow_lease : public ::testing::TestWithParam<place> {
 protected:
  flow_lease() : w(GetParam().backend, [](engine_options& o) { o.workers = GetParam().workers; }) {}

  /// Opens a handle that does `on_message` with each message.
  void open(std::function<void(handle&, const message&)> on_message,
            const std::function<void(handle_options&)>& adjust = {}) {
    auto calls = there.record();
    calls.on_message = std::move(on_message);
    auto o = w.options(group);
    if (adjust) {
      adjust(o);
    }
    auto opened = w.loop().open(o, std::move(calls));
    ASSERT_TRUE(opened);
    there.self = *opened;
    ASSERT_TRUE(w.until([&] { return there.self.state() == handle_state::joined; }));
  }
  void send(const std::string& text) {
    result<void> sent;
    ASSERT_TRUE(w.until(
        [&] { return (sent = there.self.multicast(text)).has_value() || sent.error() != errc::try_again; }));
    ASSERT_TRUE(sent) << sent.error().message();
  }

  world w;
  const std::string group = world::fresh_group();
  witness there;
  std::mutex lock;
  std::vector<lease> kept;
};
INSTANTIATE_TEST_SUITE_P(at, flow_lease, ::testing::ValuesIn(every_place()), [](const auto& info) {
  return fmt::format("{}_{}_workers", to_string(info.param.backend), info.param.workers);
});

std::string of(const lease& l) { return std::string(l.pin().text()); }

std::string numbered(int i, std::size_t size) {
  std::string text = fmt::format("{} ", i);
  text.resize(std::max(size, text.size()), static_cast<char>('a' + i % 26));
  return text;
}

TEST_P(flow_lease, keeps_the_message_in_the_ring_until_it_is_released) {
  std::atomic<int> got{0};
  open(
      [&](handle&, const message& m) {
        auto l = m.retain();
        ASSERT_TRUE(l) << l.error().message();
        const std::lock_guard guard(lock);
        kept.push_back(std::move(*l));
        ++got;
      },
      [](handle_options& o) { o.lease_age_max = std::chrono::hours(1); });
  send("one");
  send("two");
  ASSERT_TRUE(w.until([&] { return got == 2; }));
  EXPECT_TRUE(kept[0].in_ring());
  EXPECT_EQ(of(kept[0]), "one");
  EXPECT_EQ(of(kept[1]), "two");
  EXPECT_EQ(kept[1].sequence(), 2U);
  EXPECT_EQ(kept[1].sender_pid(), there.self.pid());
  EXPECT_EQ(kept[1].size(), 3U);
  EXPECT_EQ(there.self.stats().leases, 2U);
  kept.clear();
  EXPECT_EQ(there.self.stats().leases, 0U);
  EXPECT_EQ(there.self.stats().lease_bytes, 0U);
  EXPECT_EQ(there.self.stats().copied_out, 0U);
}

TEST_P(flow_lease, does_not_block_the_ring_while_every_message_is_kept_for_a_while) {
  // 6 MB pass through a 64 KiB ring. Each message is kept until 40 more have arrived.
  constexpr int count = 6000;
  std::atomic<int> got{0}, wrong{0};
  open([&](handle&, const message& m) {
    auto l = m.retain();
    const std::lock_guard guard(lock);
    kept.push_back(std::move(*l));
    if (kept.size() > 40) {
      const int i = got - 40;
      wrong += of(kept.front()) != numbered(i, 1000) ? 1 : 0;
      kept.erase(kept.begin());
    }
    ++got;
  });
  for (int i = 0; i < count; ++i) {
    send(numbered(i, 1000));
  }
  ASSERT_TRUE(w.until([&] { return got == count; }));
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(there.self.stats().copied_out, 0U);
}

TEST_P(flow_lease, moves_out_of_the_ring_beyond_lease_age_max) {
  std::atomic<int> got{0};
  open(
      [&](handle&, const message& m) {
        auto l = m.retain();
        const std::lock_guard guard(lock);
        kept.push_back(std::move(*l));
        ++got;
      },
      [](handle_options& o) { o.lease_age_max = std::chrono::milliseconds(5); });
  send("to be moved");
  ASSERT_TRUE(w.until([&] { return got == 1; }));
  ASSERT_TRUE(w.until([&] { return !kept[0].in_ring(); }));
  EXPECT_EQ(of(kept[0]), "to be moved");
  ASSERT_TRUE(w.until([&] { return there.self.stats().copied_out == 1; }));
}

TEST_P(flow_lease, does_not_move_while_it_is_pinned) {
  std::optional<pinned> held;
  std::atomic<int> got{0};
  open(
      [&](handle&, const message& m) {
        auto l = m.retain();
        const std::lock_guard guard(lock);
        held.emplace(l->pin());
        kept.push_back(std::move(*l));
        ++got;
      },
      [](handle_options& o) { o.lease_age_max = std::chrono::milliseconds(1); });
  send("held");
  ASSERT_TRUE(w.until([&] { return got == 1; }));
  EXPECT_EQ(kept[0].read([](std::span<const std::byte> bytes) { return bytes.size(); }), 4U);
  EXPECT_EQ(lease().read([](std::span<const std::byte> bytes) { return bytes.size(); }), 0U);
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(30);
  ASSERT_TRUE(w.until([&] { return std::chrono::steady_clock::now() > until; }));
  EXPECT_TRUE(kept[0].in_ring());
  EXPECT_EQ(held->text(), "held");
  held.reset();
  ASSERT_TRUE(w.until([&] { return !kept[0].in_ring(); }));
  EXPECT_EQ(of(kept[0]), "held");
}

TEST_P(flow_lease, is_refused_beyond_retained_bytes_max) {
  std::atomic<int> got{0}, refused{0};
  open(
      [&](handle&, const message& m) {
        auto l = m.retain();
        const std::lock_guard guard(lock);
        if (l) {
          kept.push_back(std::move(*l));
        } else {
          EXPECT_EQ(l.error(), errc::overloaded);
          EXPECT_NE(l.error().text.find("retained_bytes_max (200000)"), std::string::npos) << l.error().text;
          ++refused;
        }
        ++got;
      },
      [](handle_options& o) { o.retained_bytes_max = 200000; });
  for (int i = 0; i < 1000; ++i) {
    send(numbered(i, 1000));
  }
  ASSERT_TRUE(w.until([&] { return got == 1000; }));
  EXPECT_EQ(kept.size(), 200000U / (1000 + 128));
  EXPECT_EQ(static_cast<std::size_t>(refused), 1000 - kept.size());
  for (std::size_t i = 0; i < kept.size(); ++i) {
    EXPECT_EQ(of(kept[i]), numbered(static_cast<int>(i), 1000));
  }
}

TEST_P(flow_lease, outlives_its_handle_and_engine_pinned_or_not) {
  std::atomic<int> got{0};
  open(
      [&](handle& h, const message& m) {
        auto l = m.retain();
        {
          const std::lock_guard guard(lock);
          kept.push_back(std::move(*l));
        }
        if (++got == 20) {
          h.close();
        }
      },
      [](handle_options& o) { o.lease_age_max = std::chrono::hours(1); });
  for (int i = 0; i < 20; ++i) {
    send(numbered(i, 100));
  }
  ASSERT_TRUE(w.until([&] { return there.is(handle_state::closed) || !there.states.empty(); }));
  ASSERT_TRUE(w.until([&] { return got >= 20; }));
  std::vector<pinned> held;
  for (std::size_t i = 0; i < kept.size(); i += 2) {
    held.push_back(kept[i].pin());
  }
  there.self = {};
  w.end_engine();
  for (std::size_t i = 0; i < kept.size(); ++i) {
    EXPECT_EQ(of(kept[i]), numbered(static_cast<int>(i), 100));
  }
  kept.clear();  // pins outlive their leases
  for (std::size_t i = 0; i < held.size(); ++i) {
    EXPECT_EQ(held[i].text(), numbered(static_cast<int>(2 * i), 100));
  }
}

TEST_P(flow_lease, stays_readable_while_pinned_when_its_handle_closes_with_a_full_ring) {
  open(
      [&](handle&, const message& m) {
        const std::lock_guard guard(lock);
        if (kept.empty()) {
          if (auto l = m.retain()) {
            kept.push_back(std::move(*l));
          }
        }
      },
      [](handle_options& o) { o.lease_age_max = std::chrono::hours(1); });
  send(numbered(0, 100));
  ASSERT_TRUE(w.until([&] {
    const std::lock_guard guard(lock);
    return kept.size() == 1;
  }));
  const pinned held = kept[0].pin();
  {
    // Several times the size of the ring: the service keeps writing into free space while the handle closes.
    filler more(w, there, group);
    more.fill(500, "later", 1000);
    there.self.close();
    ASSERT_TRUE(w.until([&] { return w.loop().stats().handles == 0; }));
  }
  EXPECT_EQ(held.text(), numbered(0, 100));
  w.end_engine();
  EXPECT_EQ(held.text(), numbered(0, 100));
}

TEST_P(flow_lease, stays_readable_when_the_service_is_lost) {
  if (!world::embedded()) {
    GTEST_SKIP() << "the service of this run has other clients";
  }
  std::atomic<int> got{0};
  open(
      [&](handle&, const message& m) {
        auto l = m.retain();
        const std::lock_guard guard(lock);
        kept.push_back(std::move(*l));
        ++got;
      },
      [](handle_options& o) { o.lease_age_max = std::chrono::hours(1); });
  send("first");
  send("second");
  ASSERT_TRUE(w.until([&] { return got == 2; }));
  auto held = kept[0].pin();
  w.end_service();
  ASSERT_TRUE(w.until([&] { return there.self.state() == handle_state::lost; }));
  ASSERT_TRUE(w.until([&] { return !kept[1].in_ring(); }));
  EXPECT_EQ(held.text(), "first");
  EXPECT_EQ(of(kept[1]), "second");
}

TEST_P(flow_lease, is_a_copy_for_a_second_lease_of_a_message_and_for_fragmented_messages) {
  std::atomic<int> got{0};
  const std::string large = numbered(1, 200000);
  open(
      [&](handle&, const message& m) {
        auto first = m.retain(), second = m.retain();
        const std::lock_guard guard(lock);
        kept.push_back(std::move(*first));
        kept.push_back(std::move(*second));
        ++got;
      },
      [](handle_options& o) { o.lease_age_max = std::chrono::hours(1); });
  send("twice");
  ASSERT_TRUE(w.until([&] { return got == 1; }));
  EXPECT_TRUE(kept[0].in_ring());
  send(large);
  ASSERT_TRUE(w.until([&] { return got == 2; }));
  EXPECT_FALSE(kept[1].in_ring());
  EXPECT_FALSE(kept[2].in_ring());
  EXPECT_EQ(of(kept[0]), "twice");
  EXPECT_EQ(of(kept[1]), "twice");
  EXPECT_EQ(of(kept[2]), large);
  EXPECT_EQ(of(kept[3]), large);
}

TEST_P(flow_lease, stays_valid_when_the_callback_that_took_it_throws) {
  open([&](handle&, const message& m) {
    auto l = m.retain();
    {
      const std::lock_guard guard(lock);
      kept.push_back(std::move(*l));
    }
    throw std::runtime_error("on purpose");
  });
  send("kept");
  ASSERT_TRUE(w.until([&] { return there.self.state() == handle_state::closed; }));
  w.end_engine();
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_EQ(of(kept[0]), "kept");
}

TEST_P(flow_lease, can_be_read_and_released_on_other_threads_while_it_moves) {
  constexpr int count = 20000;
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::vector<std::pair<std::uint64_t, lease>> waiting;
  std::atomic<int> got{0}, read{0}, wrong{0};
  std::atomic<bool> end{false};
  open(
      [&](handle&, const message& m) {
        auto l = m.retain();
        const std::lock_guard guard(lock);
        if (l) {
          waiting.emplace_back(m.sequence(), std::move(*l));
        } else {
          ++read;
        }
        ++got;
      },
      [](handle_options& o) { o.lease_age_max = std::chrono::milliseconds(1); });
  const auto reader = [&](unsigned mine) {
    std::mt19937 random(seed + mine);
    while (!end) {
      std::vector<std::pair<std::uint64_t, lease>> some;
      {
        const std::lock_guard guard(lock);
        for (int i = 0; i < 16 && !waiting.empty(); ++i) {
          const std::size_t at = random() % waiting.size();
          some.push_back(std::move(waiting[at]));
          waiting[at] = std::move(waiting.back());
          waiting.pop_back();
        }
      }
      for (auto& [sequence, l] : some) {
        const std::string expected = numbered(static_cast<int>(sequence - 1), 200 + sequence % 300);
        for (int i = 0; i < 3; ++i) {
          wrong += of(l) != expected ? 1 : 0;
        }
        ++read;
      }
      if (some.empty()) {
        std::this_thread::yield();
      }
    }
  };
  std::thread one(reader, 1U), two(reader, 2U);
  for (int i = 0; i < count; ++i) {
    send(numbered(i, 200 + static_cast<std::size_t>(i + 1) % 300));
  }
  EXPECT_TRUE(w.until([&] { return got == count && read == count; })) << got << ' ' << read;
  end = true;
  one.join();
  two.join();
  EXPECT_EQ(wrong, 0);
}

TEST_P(flow_lease, aligned_copies_only_misaligned_messages) {
  std::atomic<int> got{0}, copies{0};
  open([&](handle&, const message& m) {
    for (std::size_t n = 1; n <= 4096; n *= 2) {
      const auto a = m.aligned(n);
      ASSERT_TRUE(a) << a.error().message();
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a->bytes.data()) % n, 0U);
      EXPECT_EQ(std::string(reinterpret_cast<const char*>(a->bytes.data()), a->bytes.size()), m.text());
      EXPECT_EQ(a->copied, a->bytes.data() != m.bytes().data());
      EXPECT_TRUE(n > 4 || !a->copied);
      copies += a->copied ? 1 : 0;
    }
    for (const std::size_t n : {std::size_t{0}, std::size_t{3}, std::size_t{8192}}) {
      EXPECT_EQ(m.aligned(n).error(), errc::invalid_param);
    }
    ++got;
  });
  send("words");
  send(numbered(7, 5000));
  ASSERT_TRUE(w.until([&] { return got == 2; }));
  EXPECT_GT(copies, 0);
}

}  // namespace
