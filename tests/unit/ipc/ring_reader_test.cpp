// The ring reader with chunks written by libqb.
#include "ipc/ring_reader.hpp"

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "unit/ipc/qb_ring.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

struct ring_reader_on_qb : ::testing::Test {
  qb_ring qb{one_page};
  shared_ring shared = qb.open_ours();
  ring_reader reader{shared};

  /// Reads one chunk and reclaims it.
  std::string take_one() {
    frame f;
    if (reader.ready() == 0) {
      reader.collect();
    }
    EXPECT_EQ(reader.next(f), read_result::frame);
    std::string bytes(text(f));
    reader.reclaim(1);
    return bytes;
  }
};

TEST_F(ring_reader_on_qb, finds_nothing_in_a_new_ring) {
  frame f;
  EXPECT_EQ(shared.words(), 1024U);
  EXPECT_EQ(reader.waiting(), 0U);
  EXPECT_EQ(reader.collect(), 0U);
  EXPECT_EQ(reader.next(f), read_result::empty);
  EXPECT_EQ(reader.used_bytes(), 0U);
}

TEST_F(ring_reader_on_qb, collects_leases_and_reclaims_chunks) {
  ASSERT_TRUE(qb.write("one"));
  ASSERT_TRUE(qb.write("second"));
  EXPECT_EQ(reader.waiting(), 2U);
  EXPECT_EQ(reader.ready(), 0U);
  frame f;
  EXPECT_EQ(reader.next(f), read_result::empty);  // chunks not collected are not visible
  EXPECT_EQ(reader.collect(), 2U);
  EXPECT_EQ(reader.waiting(), 0U);
  ASSERT_EQ(reader.next(f), read_result::frame);
  EXPECT_EQ(text(f), "one");
  EXPECT_EQ(reader.ready(), 1U);
  EXPECT_EQ(reader.leased(), 1U);
  EXPECT_EQ(reader.leased_bytes(), 12U);
  EXPECT_EQ(reader.used_bytes(), 12U + 16U);
  ASSERT_EQ(reader.next(f), read_result::frame);
  EXPECT_EQ(text(f), "second");
  EXPECT_EQ(reader.next(f), read_result::empty);
  EXPECT_EQ(qb_rb_space_used(qb.get()), 28);
  reader.reclaim(1);
  EXPECT_EQ(qb_rb_space_used(qb.get()), 16);
  reader.reclaim(1);
  EXPECT_EQ(qb_rb_space_used(qb.get()), 0);
  EXPECT_EQ(reader.leased_bytes(), 0U);
}

TEST_F(ring_reader_on_qb, leaves_a_reclaimed_chunk_as_libqbs_reader_does) {
  ASSERT_TRUE(qb.write("abcd"));
  take_one();
  EXPECT_EQ(*shared.word(0), 0U);
  EXPECT_EQ(*shared.word(1), cf::magic_consumed);
  EXPECT_EQ(*shared.word(2), 0x64636261U);
  EXPECT_EQ(*shared.read_position(), 3U);
}

TEST_F(ring_reader_on_qb, reads_chunks_of_every_length_at_every_position_in_the_ring) {
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
      ASSERT_TRUE(qb.write(bytes)) << size;
      ASSERT_EQ(take_one(), bytes) << size;
      // Both chunks together take one word more than a lap, so each position is used once.
      const std::uint32_t filler = 1025 - cf::words_of(size);
      ASSERT_TRUE(qb.write(pattern((filler - 2) * 4, seed)));
      take_one();
    }
    EXPECT_EQ(std::count(started.begin(), started.end(), true), 1024) << size;
  }
}

TEST_F(ring_reader_on_qb, reads_a_full_ring_at_once) {
  for (std::uint32_t size : {1U, 4U, 5U, 100U, 999U}) {
    std::deque<std::string> written;
    for (std::uint64_t i = 0; qb.write(pattern(size, i)); ++i) {
      written.push_back(pattern(size, i));
    }
    ASSERT_EQ(reader.collect(), written.size());
    frame f;
    while (reader.next(f) == read_result::frame) {
      EXPECT_EQ(text(f), written[reader.leased() - 1]);
    }
    EXPECT_EQ(reader.leased(), written.size());
    EXPECT_FALSE(qb.write(pattern(size, 0)));
    reader.reclaim(reader.leased());
    EXPECT_TRUE(qb.write("x"));  // not refused as full: the counts were taken before the room was freed
    EXPECT_EQ(take_one(), "x");
  }
}

TEST_F(ring_reader_on_qb, ignores_old_payload_that_looks_like_a_ready_chunk) {
  // Fills the ring with pairs of length 8 and magic ready.
  std::string bait;
  while (bait.size() < 4096 - 12) {
    const std::uint32_t words[] = {8, cf::magic_ready};
    bait.append(reinterpret_cast<const char*>(words), sizeof words);
  }
  bait.resize(4096 - 12);
  frame f;
  // Laps end 3, then 2 words before their start: either half of a bait pair comes to lie ahead of the reader.
  for (int lap = 0; lap < 4; ++lap) {
    ASSERT_TRUE(qb.write(bait.substr(0, bait.size() - static_cast<std::size_t>(lap))));
    take_one();
    ASSERT_EQ(reader.collect(), 0U);
    ASSERT_EQ(reader.next(f), read_result::empty);
    // A half-written chunk: the write position has passed it and its header looks ready; only the semaphore's
    // count is missing.
    void* half = qb_rb_chunk_alloc(qb.get(), 8);
    ASSERT_NE(half, nullptr);
    const std::uint32_t at = *shared.write_position();
    *shared.word(at) = 8;
    *shared.word(at + 1) = cf::magic_ready;
    __atomic_store_n(shared.write_position(), (at + 4) % 1024, __ATOMIC_SEQ_CST);
    ASSERT_EQ(reader.collect(), 0U);
    ASSERT_EQ(reader.next(f), read_result::empty);
    __atomic_store_n(shared.write_position(), at, __ATOMIC_SEQ_CST);
    std::memcpy(half, "12345678", 8);
    ASSERT_EQ(qb_rb_chunk_commit(qb.get(), 8), 0);
    ASSERT_EQ(take_one(), "12345678");
  }
}

TEST_F(ring_reader_on_qb, reports_once_that_the_ring_was_nearly_full) {
  const std::string event = pattern(200, 1);
  EXPECT_FALSE(reader.take_nearly_full());
  ASSERT_TRUE(qb.write(event));
  take_one();
  EXPECT_FALSE(reader.take_nearly_full());
  while (qb.write(event)) {
  }
  reader.collect();
  frame f;
  while (reader.next(f) == read_result::frame) {
  }
  EXPECT_FALSE(reader.take_nearly_full());  // no chunk reclaimed yet: no reason to poke
  reader.reclaim(reader.leased());
  EXPECT_TRUE(reader.take_nearly_full());
  EXPECT_FALSE(reader.take_nearly_full());
}

TEST_F(ring_reader_on_qb, assumes_events_of_a_quarter_of_the_ring_at_first) {
  for (int i = 0; i < 264; ++i) {
    ASSERT_TRUE(qb.write("tiny"));  // 3 words of 1024 each
  }
  ASSERT_FALSE(qb.write(pattern(1000, 1)));
  reader.collect();
  frame f;
  while (reader.next(f) == read_result::frame) {
  }
  reader.reclaim(reader.leased());
  EXPECT_TRUE(reader.take_nearly_full());
}

TEST_F(ring_reader_on_qb, raises_the_assumed_event_size_after_large_events) {
  const std::string large = pattern(2200, 1);  // more than half of the ring: two never fit
  ASSERT_TRUE(qb.write(large));
  ASSERT_FALSE(qb.write(large));
  take_one();
  EXPECT_TRUE(reader.take_nearly_full());
}

RC_GTEST_PROP(ring_reader, detects_every_write_refused_for_lack_of_room, ()) {
  qb_ring qb(one_page);
  const shared_ring shared = qb.open_ours();
  ring_reader reader(shared);
  std::uint32_t largest = 256;  // words; a quarter of the ring is always assumed
  std::deque<std::uint32_t> leased;
  bool refused = false;
  const auto steps = *rc::gen::container<std::vector<std::pair<std::uint32_t, std::uint32_t>>>(
      200, rc::gen::pair(rc::gen::inRange<std::uint32_t>(0, 4), rc::gen::inRange<std::uint32_t>(1, 1800)));
  for (const auto& [what, size] : steps) {
    frame f;
    if (what < 2) {
      refused = (!qb.write(pattern(size, size)) && cf::words_of(size) <= largest) || refused;
    } else if (what == 2) {
      if (reader.ready() != 0 || reader.collect() != 0) {
        RC_ASSERT(reader.next(f) == read_result::frame);
        leased.push_back(cf::words_of(f.size));
      }
    } else if (!leased.empty()) {
      const std::uint32_t count = 1 + size % reader.leased();
      reader.reclaim(count);
      for (std::uint32_t i = 0; i < count; ++i) {
        largest = std::max(largest, leased.front());
        leased.pop_front();
      }
      const bool seen = reader.take_nearly_full();
      RC_ASSERT(seen || !refused);
      refused = false;
    }
  }
}

RC_GTEST_PROP(ring_reader, reads_the_chunks_of_libqb_in_order_under_any_interleaving, ()) {
  const auto pages = *rc::gen::element<std::uint32_t>(1, 2, 4);
  qb_ring qb(pages * 4096 - 13);
  const shared_ring shared = qb.open_ours();
  ring_reader reader(shared);
  struct leased_chunk {
    frame where;
    std::string bytes;
  };
  std::deque<std::string> written;  // not yet leased
  std::deque<leased_chunk> leased;
  std::uint32_t counted = 0;
  enum class act { write_small, write_any, collect, lease, lease_all, reclaim };
  const auto steps = *rc::gen::container<std::vector<std::pair<act, std::uint32_t>>>(
      300, rc::gen::pair(rc::gen::element(act::write_small, act::write_any, act::collect, act::lease,
                                          act::lease_all, act::reclaim),
                         rc::gen::inRange<std::uint32_t>(0, 0x10000)));
  std::uint64_t seed = 0;
  const auto lease = [&] {
    frame f;
    const read_result seen = reader.next(f);
    RC_ASSERT(seen == (counted == 0 ? read_result::empty : read_result::frame));
    if (seen == read_result::frame) {
      RC_ASSERT(text(f) == written.front());
      RC_ASSERT(reinterpret_cast<std::uintptr_t>(f.data) % 4 == 0);
      leased.push_back({f, written.front()});
      written.pop_front();
      --counted;
    }
    return seen == read_result::frame;
  };
  for (const auto& [what, random] : steps) {
    switch (what) {
      case act::write_small:
      case act::write_any: {
        const std::uint32_t size = random % (what == act::write_small ? 80 : pages * 4096 - 12);
        std::string bytes = payload(size, ++seed);
        if (qb.write(bytes)) {
          written.push_back(std::move(bytes));
        } else {
          RC_ASSERT(!written.empty() || !leased.empty());
        }
        break;
      }
      case act::collect:
        RC_ASSERT(reader.waiting() == written.size() - counted);
        counted = reader.collect();
        RC_ASSERT(counted == written.size());
        break;
      case act::lease: lease(); break;
      case act::lease_all:
        while (lease()) {
        }
        break;
      case act::reclaim: {
        // Leased chunks are unchanged, however full the ring has become.
        for (const auto& one : leased) {
          RC_ASSERT(text(one.where) == one.bytes);
        }
        const auto count = static_cast<std::uint32_t>(random % (leased.size() + 1));
        reader.reclaim(count);
        leased.erase(leased.begin(), leased.begin() + count);
        break;
      }
    }
    RC_ASSERT(reader.leased() == leased.size());
    RC_ASSERT(!reader.broken());
    std::uint32_t words = 0;
    for (const auto& bytes : written) {
      words += cf::words_of(static_cast<std::uint32_t>(bytes.size()));
    }
    for (const auto& one : leased) {
      words += cf::words_of(one.where.size);
    }
    RC_ASSERT(reader.used_bytes() == words * 4);
  }
}

}  // namespace
