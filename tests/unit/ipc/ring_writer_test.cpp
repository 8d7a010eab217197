// The ring writer with libqb as the reader.
#include "ipc/ring_writer.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "ipc/ring_reader.hpp"
#include "unit/ipc/qb_ring.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

bool stage(ring_writer& writer, std::string_view bytes) {
  std::byte* at = writer.reserve(static_cast<std::uint32_t>(bytes.size()));
  if (at == nullptr) {
    return false;
  }
  std::memcpy(at, bytes.data(), bytes.size());
  writer.stage(static_cast<std::uint32_t>(bytes.size()));
  return true;
}

struct ring_writer_on_qb : ::testing::Test {
  qb_ring qb{one_page};
  shared_ring shared = qb.open_ours();
  ring_writer writer{shared};
};

TEST_F(ring_writer_on_qb, hides_staged_chunks_until_published) {
  ASSERT_TRUE(stage(writer, "one"));
  ASSERT_TRUE(stage(writer, "two"));
  EXPECT_EQ(writer.staged(), 2U);
  EXPECT_EQ(writer.outstanding(), 0U);
  EXPECT_EQ(qb.read(), std::nullopt);
  EXPECT_EQ(*shared.write_position(), 0U);
  EXPECT_EQ(writer.publish(), 2U);
  EXPECT_EQ(writer.staged(), 0U);
  EXPECT_EQ(writer.outstanding(), 2U);
  EXPECT_EQ(qb.read(), "one");
  EXPECT_EQ(writer.outstanding(), 1U);
  EXPECT_EQ(qb.read(), "two");
  EXPECT_EQ(qb.read(), std::nullopt);
  EXPECT_EQ(writer.publish(), 0U);
  EXPECT_EQ(qb.read(), std::nullopt);
}

TEST_F(ring_writer_on_qb, may_publish_less_than_reserved) {
  std::byte* at = writer.reserve(1000);
  ASSERT_NE(at, nullptr);
  std::memcpy(at, "abc", 3);
  writer.stage(3);
  ASSERT_TRUE(stage(writer, "next"));
  writer.publish();
  EXPECT_EQ(qb.read(), "abc");
  EXPECT_EQ(qb.read(), "next");
}

TEST_F(ring_writer_on_qb, drops_an_abandoned_reservation) {
  ASSERT_NE(writer.reserve(100), nullptr);
  writer.abandon();
  ASSERT_TRUE(stage(writer, "kept"));
  writer.publish();
  EXPECT_EQ(qb.read(), "kept");
  EXPECT_EQ(qb.read(), std::nullopt);
}

TEST_F(ring_writer_on_qb, publishes_around_an_open_reservation) {
  ASSERT_TRUE(stage(writer, "first"));
  std::byte* at = writer.reserve(6);
  ASSERT_NE(at, nullptr);
  EXPECT_EQ(writer.publish(), 1U);
  EXPECT_EQ(qb.read(), "first");
  EXPECT_EQ(qb.read(), std::nullopt);
  std::memcpy(at, "second", 6);
  writer.stage(6);
  writer.publish();
  EXPECT_EQ(qb.read(), "second");
}

TEST_F(ring_writer_on_qb, writes_chunks_of_every_length_at_every_position_in_the_ring) {
  std::vector<std::uint32_t> sizes;
  for (std::uint32_t n = 0; n <= 36; ++n) {
    sizes.push_back(n);
  }
  for (std::uint32_t n = 4096 - 12 - 9; n <= 4096 - 12; ++n) {
    sizes.push_back(n);
  }
  std::uint64_t seed = 0;
  for (const std::uint32_t size : sizes) {
    std::vector<bool> started(1024);
    for (std::uint32_t lap = 0; lap < 1024; ++lap) {
      started[*shared.write_position()] = true;
      const std::string bytes = pattern(size, ++seed);
      ASSERT_TRUE(stage(writer, bytes)) << size;
      writer.publish();
      ASSERT_EQ(qb.read(), bytes) << size;
      const std::uint32_t filler = 1025 - cf::words_of(size);
      ASSERT_TRUE(stage(writer, pattern((filler - 2) * 4, seed)));
      writer.publish();
      ASSERT_TRUE(qb.read());
    }
    EXPECT_EQ(std::count(started.begin(), started.end(), true), 1024) << size;
  }
}

TEST_F(ring_writer_on_qb, accepts_the_same_largest_chunk_as_libqb) {
  EXPECT_EQ(writer.bytes_max(), 4096U - 12U);
  ASSERT_TRUE(qb.write(pattern(writer.bytes_max(), 1)));
  EXPECT_TRUE(qb.read());
  writer = ring_writer(shared);
  ASSERT_TRUE(stage(writer, pattern(writer.bytes_max(), 2)));
  EXPECT_FALSE(stage(writer, ""));
  writer.publish();
  EXPECT_EQ(qb.read(), pattern(writer.bytes_max(), 2));
}

TEST_F(ring_writer_on_qb, has_exactly_the_room_of_libqb_at_every_position) {
  for (std::uint32_t lap = 0; lap < 1024; ++lap) {
    ASSERT_TRUE(stage(writer, pattern(1200, lap)));  // 302 words
    writer.publish();
    ASSERT_TRUE(stage(writer, pattern(lap % 40, lap)));
    writer.publish();
    ASSERT_TRUE(qb.read());
    const auto most = static_cast<std::uint32_t>(qb_rb_space_free(qb.get())) - 12;
    ASSERT_EQ(writer.reserve(most + 1), nullptr) << lap;
    ASSERT_NE(writer.reserve(most), nullptr) << lap;
    writer.abandon();
    ASSERT_TRUE(qb.read());
  }
}

TEST_F(ring_writer_on_qb, has_room_again_only_for_the_last_refused_size) {
  EXPECT_TRUE(writer.has_room());
  while (stage(writer, pattern(1000, 1))) {
  }
  writer.publish();
  EXPECT_FALSE(writer.has_room());
  ASSERT_TRUE(qb.read());
  EXPECT_TRUE(writer.has_room());
  EXPECT_EQ(writer.reserve(3000), nullptr);
  EXPECT_FALSE(writer.has_room());
  ASSERT_TRUE(stage(writer, "small"));  // a smaller chunk fits, and clears the refused size
  EXPECT_TRUE(writer.has_room());
}

TEST_F(ring_writer_on_qb, stages_at_most_staged_max_chunks) {
  for (std::uint32_t i = 0; i < ring_writer::staged_max; ++i) {
    ASSERT_TRUE(stage(writer, "x"));
  }
  EXPECT_FALSE(stage(writer, "x"));
  EXPECT_EQ(writer.publish(), ring_writer::staged_max);
  EXPECT_TRUE(stage(writer, "x"));
}

TEST_F(ring_writer_on_qb, wakes_a_reader_that_sleeps_in_libqb) {
  // The reader uses another mapping of this process and sleeps in sem_timedwait on the shared word.
  std::string got(64, '\0');
  ssize_t n = 0;
  std::thread reader([&] { n = qb_rb_chunk_read(qb.get(), got.data(), got.size(), 60000); });
  // Waits until it sleeps: glibc counts waiters in the word's high half.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (cf::waiters_of(__atomic_load_n(shared.semaphore(), __ATOMIC_SEQ_CST)) == 0 &&
         std::chrono::steady_clock::now() < give_up) {
    std::this_thread::yield();
  }
  EXPECT_EQ(cf::waiters_of(__atomic_load_n(shared.semaphore(), __ATOMIC_SEQ_CST)), 1U);
  ASSERT_TRUE(stage(writer, "wake up"));
  writer.publish();
  reader.join();
  ASSERT_EQ(n, 7);
  EXPECT_EQ(got.substr(0, 7), "wake up");
}

RC_GTEST_PROP(ring_writer, is_read_in_order_and_agrees_with_libqb_about_room, ()) {
  const auto pages = *rc::gen::element<std::uint32_t>(1, 2, 4);
  qb_ring qb(pages * 4096 - 13);
  const shared_ring shared = qb.open_ours();
  ring_writer writer(shared);
  std::deque<std::string> staged, published;
  enum class act { stage_small, stage_any, abandon, publish, read, read_all };
  const auto steps = *rc::gen::container<std::vector<std::pair<act, std::uint32_t>>>(
      300, rc::gen::pair(rc::gen::element(act::stage_small, act::stage_any, act::abandon, act::publish,
                                          act::read, act::read_all),
                         rc::gen::inRange<std::uint32_t>(0, 0x10000)));
  std::uint64_t seed = 0;
  const auto read = [&] {
    const auto got = qb.read();
    RC_ASSERT(got.has_value() == !published.empty());
    if (got) {
      RC_ASSERT(*got == published.front());
      published.pop_front();
    }
    return got.has_value();
  };
  for (const auto& [what, random] : steps) {
    switch (what) {
      case act::stage_small:
      case act::stage_any: {
        const std::uint32_t size = random % (what == act::stage_small ? 80 : pages * 4096 - 12);
        std::string bytes = payload(size, ++seed);
        const auto libqb_says = static_cast<std::uint64_t>(qb_rb_space_free(qb.get()));
        const bool expected = staged.size() < ring_writer::staged_max && libqb_says >= size + 12;
        const bool done = stage(writer, bytes);
        RC_ASSERT(!done || expected);
        RC_ASSERT(done || !expected || !staged.empty());  // libqb does not see staged chunks
        if (done) {
          staged.push_back(std::move(bytes));
        }
        break;
      }
      case act::abandon:
        if (writer.reserve(random % 1000) != nullptr) {
          writer.abandon();
        }
        break;
      case act::publish:
        RC_ASSERT(writer.publish() == staged.size());
        published.insert(published.end(), staged.begin(), staged.end());
        staged.clear();
        RC_ASSERT(writer.outstanding() == published.size());
        break;
      case act::read: read(); break;
      case act::read_all:
        while (read()) {
        }
        break;
    }
    RC_ASSERT(!writer.broken());
  }
}

RC_GTEST_PROP(ring_writer, agrees_with_ring_reader, ()) {
  raw_ring raw(4096);
  auto shared = open_ring(raw.base(), raw.max_message_size(), true);
  RC_ASSERT(shared.has_value());
  ring_writer writer(*shared);
  ring_reader reader(*shared);
  std::deque<std::string> staged, published, leased;
  const auto steps = *rc::gen::container<std::vector<std::pair<std::uint32_t, std::uint32_t>>>(
      300, rc::gen::pair(rc::gen::inRange<std::uint32_t>(0, 6), rc::gen::inRange<std::uint32_t>(0, 1400)));
  std::uint64_t seed = 0;
  for (const auto& [what, random] : steps) {
    switch (what) {
      case 0:
      case 1: {
        std::string bytes = payload(what == 0 ? random % 40 : random, ++seed);
        if (stage(writer, bytes)) {
          staged.push_back(std::move(bytes));
        }
        break;
      }
      case 2:
        writer.publish();
        published.insert(published.end(), staged.begin(), staged.end());
        staged.clear();
        break;
      case 3: RC_ASSERT(reader.collect() == published.size()); break;
      case 4: {
        frame f;
        if (reader.next(f) == read_result::frame) {
          RC_ASSERT(text(f) == published.front());
          leased.push_back(published.front());
          published.pop_front();
        }
        break;
      }
      default: {
        const auto count = static_cast<std::uint32_t>(random % (leased.size() + 1));
        reader.reclaim(count);
        leased.erase(leased.begin(), leased.begin() + count);
        break;
      }
    }
    RC_ASSERT(!writer.broken());
    RC_ASSERT(!reader.broken());
  }
}

}  // namespace
