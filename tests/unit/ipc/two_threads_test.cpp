// Concurrent writer and reader: libqb with ours in both directions, and ours with ours, where ThreadSanitizer
// sees both ends.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "ipc/ring_reader.hpp"
#include "ipc/ring_writer.hpp"
#include "unit/ipc/qb_ring.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

constexpr std::uint64_t chunks = 100000;

/// The bytes of the n-th chunk, for writer and reader.
std::string nth(std::uint64_t n) { return payload(n * 2654435761U % (n % 7 == 0 ? 1500 : 90), n); }

struct two_threads : ::testing::Test {
  /// Runs both sides. A failed side stops the other, which would otherwise wait for ever.
  void at_the_same_time(const std::function<void()>& write, const std::function<void()>& read) {
    const auto run = [this](const std::function<void()>& side) {
      side();
      if (HasFatalFailure()) {
        failed_.store(true, std::memory_order_relaxed);
      }
    };
    std::thread writer([&] { run(write); });
    run(read);
    writer.join();
  }
  [[nodiscard]] bool keep_going(std::uint64_t n) const {
    return n < chunks && !failed_.load(std::memory_order_relaxed);
  }

  void write_all(ring_writer& writer) {
    for (std::uint64_t n = 0; keep_going(n);) {
      const std::uint64_t batch_end = std::min(chunks, n + 1 + n % 5);
      while (n < batch_end && stage(writer, nth(n))) {
        ++n;
      }
      if (writer.publish() == 0) {
        ASSERT_FALSE(writer.broken()) << writer.fault().text;
        std::this_thread::yield();
      }
    }
  }
  void read_all(ring_reader& reader) {
    for (std::uint64_t n = 0; keep_going(n);) {
      if (reader.collect() == 0) {
        std::this_thread::yield();
      }
      frame f;
      for (read_result seen; (seen = reader.next(f)) != read_result::empty; ++n) {
        ASSERT_EQ(seen, read_result::frame) << reader.fault().text;
        ASSERT_EQ(text(f), nth(n)) << n;
      }
      reader.reclaim(n % 3 == 0 ? reader.leased() / 2 : reader.leased());
    }
    reader.reclaim(reader.leased());
  }

 private:
  static bool stage(ring_writer& writer, std::string_view bytes) {
    std::byte* const at = writer.reserve(static_cast<std::uint32_t>(bytes.size()));
    if (at != nullptr) {
      std::memcpy(at, bytes.data(), bytes.size());
      writer.stage(static_cast<std::uint32_t>(bytes.size()));
    }
    return at != nullptr;
  }

  std::atomic<bool> failed_{false};
};

TEST_F(two_threads, libqb_writes_and_ours_reads) {
  qb_ring qb(one_page);
  const shared_ring shared = qb.open_ours();
  ring_reader reader(shared);
  at_the_same_time(
      [&] {
        for (std::uint64_t n = 0; keep_going(n);) {
          if (qb.write(nth(n))) {
            ++n;
          } else {
            std::this_thread::yield();
          }
        }
      },
      [&] { read_all(reader); });
  EXPECT_EQ(reader.used_bytes(), 0U);
  EXPECT_EQ(reader.waiting(), 0U);
}

TEST_F(two_threads, ours_writes_and_libqb_reads) {
  qb_ring qb(one_page);
  const shared_ring shared = qb.open_ours();
  ring_writer writer(shared);
  at_the_same_time([&] { write_all(writer); },
                   [&] {
                     for (std::uint64_t n = 0; keep_going(n);) {
                       if (const auto got = qb.read()) {
                         ASSERT_EQ(*got, nth(n)) << n;
                         ++n;
                       } else {
                         std::this_thread::yield();
                       }
                     }
                   });
  EXPECT_EQ(writer.outstanding(), 0U);
  EXPECT_EQ(qb_rb_space_used(qb.get()), 0);
}

TEST_F(two_threads, ours_writes_and_ours_reads) {
  raw_ring raw;
  const auto shared = open_ring(raw.base(), raw.max_message_size(), true);
  ASSERT_TRUE(shared);
  ring_writer writer(*shared);
  ring_reader reader(*shared);
  at_the_same_time([&] { write_all(writer); }, [&] { read_all(reader); });
  EXPECT_EQ(writer.outstanding(), 0U);
  EXPECT_EQ(reader.used_bytes(), 0U);
}

}  // namespace
