// Lease blocks and the lease table without an engine: release, copy-out, lifetime.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "lease/lease_factory.hpp"
#include "lease/lease_table.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::leasing;
using std::chrono::milliseconds;

struct leases : ::testing::Test {
  base::time_point now{};
  copy_pool pool{1 << 20, 1 << 16};
  lease_table table{10000, milliseconds(10)};
  callback_scratch scratch;
  std::vector<std::uint64_t> freed;
  char ring[3][8] = {"zero", "one", "two"};

  lease_block* take(int chunk) {
    lease_factory l(table.pool(), scratch);
    auto* const bytes = reinterpret_cast<std::byte*>(ring[chunk]);
    auto taken = l.retain({bytes, std::strlen(ring[chunk]), static_cast<std::uint64_t>(chunk), 1, 2, true});
    EXPECT_TRUE(taken);
    EXPECT_EQ(l.take_ring_lease(), *taken);
    EXPECT_TRUE(table.add(**taken, static_cast<std::uint64_t>(chunk), now));
    return *taken;
  }
  void maintain(bool crowded = false) {
    table.maintain(pool, now, crowded, [this](std::uint64_t c) { freed.push_back(c); });
  }
  static std::string read(lease_block* one) {
    const char* at = reinterpret_cast<const char*>(one->pin());
    std::string text(at, one->size);
    one->unpin();
    return text;
  }
};

TEST_F(leases, frees_a_chunk_when_its_lease_is_released) {
  auto *zero = take(0), *one = take(1);
  maintain();
  EXPECT_TRUE(freed.empty());
  EXPECT_EQ(table.oldest(), zero);
  one->drop();
  maintain();
  EXPECT_EQ(freed, std::vector<std::uint64_t>{1});
  zero->drop();
  maintain();
  EXPECT_EQ(freed, (std::vector<std::uint64_t>{1, 0}));
  EXPECT_FALSE(table.has_work());
  EXPECT_EQ(table.pool()->count(), 0U);
}

TEST_F(leases, copies_out_only_expired_leases) {
  auto* zero = take(0);
  now += milliseconds(6);
  auto* one = take(1);
  now += milliseconds(5);
  ASSERT_TRUE(table.due());
  EXPECT_LE(*table.due(), now);
  maintain();
  EXPECT_EQ(freed, std::vector<std::uint64_t>{0});
  EXPECT_TRUE(zero->is_copied());
  EXPECT_FALSE(one->is_copied());
  EXPECT_EQ(*table.due(), one->since + milliseconds(10));
  std::memset(ring, '#', sizeof ring[0]);
  EXPECT_EQ(read(zero), "zero");
  zero->drop();
  one->drop();
  maintain();
  EXPECT_EQ(freed, (std::vector<std::uint64_t>{0, 1}));
  EXPECT_EQ(table.copied(), 1U);
  EXPECT_EQ(table.copied_bytes(), 4U);
}

TEST_F(leases, copies_out_all_unpinned_leases_when_the_ring_is_crowded) {
  auto *zero = take(0), *one = take(1), *two = take(2);
  static_cast<void>(one->pin());
  maintain(true);
  EXPECT_EQ(freed, (std::vector<std::uint64_t>{0, 2}));
  EXPECT_GT(*table.due(), now) << "the next attempt is not immediate";
  one->unpin();
  maintain(true);
  EXPECT_EQ(freed, (std::vector<std::uint64_t>{0, 2, 1}));
  for (auto* each : {zero, one, two}) {
    each->drop();
  }
  maintain();
  EXPECT_EQ(freed.size(), 3U) << "each chunk is freed once";
}

TEST_F(leases, accepts_a_lease_released_before_it_is_added) {
  lease_factory l(table.pool(), scratch);
  auto taken = l.retain({reinterpret_cast<std::byte*>(ring[0]), 4, 0, 1, 2, true});
  ASSERT_TRUE(taken);
  (*taken)->drop();
  maintain();
  EXPECT_TRUE(freed.empty()) << "the table does not know its chunk yet";
  EXPECT_FALSE(table.add(*l.take_ring_lease(), 0, now)) << "the caller frees it";
  EXPECT_FALSE(table.any_in_ring());
}

TEST_F(leases, reuses_blocks) {
  auto* first = take(0);
  first->drop();
  maintain();
  EXPECT_EQ(take(1), first);
  first->drop();
}

TEST_F(leases, refuses_beyond_the_limit_except_for_a_single_lease) {
  lease_factory l(table.pool(), scratch);
  std::vector<std::byte> large(20000);
  auto only = l.retain({large.data(), large.size(), 1, 1, 2, false});
  ASSERT_TRUE(only) << "a single message is always allowed";
  EXPECT_TRUE((*only)->is_copied());
  EXPECT_FALSE(l.has_ring_lease());
  auto second = l.retain({large.data(), 1, 2, 1, 2, false});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), errc::overloaded);
  (*only)->drop();
  EXPECT_EQ(table.pool()->bytes(), 0U);
}

TEST_F(leases, keeps_the_ring_mapped_while_bytes_are_pinned) {
  auto *zero = take(0), *one = take(1);
  static_cast<void>(zero->pin());
  bool mapped = true;
  {
    lease_table ends{1000, milliseconds(10)};
    lease_factory l(ends.pool(), scratch);
    auto pinned = l.retain({reinterpret_cast<std::byte*>(ring[2]), 3, 2, 1, 2, true});
    static_cast<void>((*pinned)->pin());
    ASSERT_TRUE(ends.add(*l.take_ring_lease(), 2, now));
    ends.release_ring(pool, [&] { return std::shared_ptr<void>(ring, [&](void*) { mapped = false; }); });
    zero->unpin();
    zero->drop();
    one->drop();
    zero = *pinned;
  }
  EXPECT_TRUE(mapped);
  zero->drop();
  EXPECT_TRUE(mapped) << "one pin remains";
  zero->unpin();
  EXPECT_FALSE(mapped);
}

TEST(copy_pool, keeps_at_most_its_limit) {
  copy_pool pool(256, 128);
  auto *a = pool.take(100), *b = pool.take(128), *c = pool.take(128);
  pool.give(a, 100);
  pool.give(b, 128);
  pool.give(c, 128);
  EXPECT_EQ(pool.kept_bytes(), 256U);
  auto* again = pool.take(70);
  EXPECT_TRUE(again == a || again == b);
  pool.give(again, 70);
}

TEST(copy_pool, keeps_no_large_buffer) {
  copy_pool pool(1024, 128);
  auto *small = pool.take(128), *large = pool.take(129);
  pool.give(large, 129);
  EXPECT_EQ(pool.kept_bytes(), 0U);
  pool.give(small, 128);
  EXPECT_EQ(pool.kept_bytes(), 128U);
}

TEST(lease_block, is_never_freed_while_pinned) {
  // One thread copies out, another reads and drops. The ring's bytes are overwritten once the chunk is freed.
  constexpr int rounds = 20000;
  lease_table table(1 << 20, milliseconds(0));
  copy_pool pool(1 << 20, 1 << 16);
  callback_scratch scratch;
  std::atomic<lease_block*> passed{nullptr};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    for (int i = 0; i < rounds; ++i) {
      lease_block* one = nullptr;
      while ((one = passed.exchange(nullptr, std::memory_order_acquire)) == nullptr) {
        std::this_thread::yield();
      }
      for (int round = 0; round < 3; ++round) {
        const std::byte* at = one->pin();
        for (std::size_t b = 0; b < one->size; ++b) {
          wrong += at[b] != std::byte{static_cast<unsigned char>(i)} ? 1 : 0;
        }
        one->unpin();
      }
      one->drop();
    }
  });
  std::vector<std::byte> place(64);
  for (int i = 0; i < rounds; ++i) {
    std::fill(place.begin(), place.end(), std::byte{static_cast<unsigned char>(i)});
    lease_factory l(table.pool(), scratch);
    auto taken = l.retain({place.data(), place.size(), 0, 1, 2, true});
    ASSERT_TRUE(taken);
    ASSERT_TRUE(table.add(*l.take_ring_lease(), 0, base::time_point{}));
    passed.store(*taken, std::memory_order_release);
    bool given_up = false;
    while (!given_up) {
      table.maintain(pool, base::time_point{} + milliseconds(1), true,
                     [&](std::uint64_t) { given_up = true; });
    }
    std::fill(place.begin(), place.end(), std::byte{0xff});
    while (table.pool()->count() != 0) {
      std::this_thread::yield();
    }
    table.collect(pool, [](std::uint64_t) {});
  }
  reader.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
