// Blocks of leases and their keeper, without an engine: who gives back, what moves when, what outlives whom.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "dispatch/lease_keeper.hpp"
#include "dispatch/lessor.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::dispatch;
using std::chrono::milliseconds;

struct desk : testing::Test {
  base::time_point now{};
  copy_pool pool{1 << 20, 1 << 16};
  lease_keeper keeper{10000, milliseconds(10)};
  callback_room room;
  std::vector<std::uint64_t> freed;
  char ring[3][8] = {"zero", "one", "two"};

  retained* take(int chunk) {
    lessor l(keeper.desk(), room);
    auto* const bytes = reinterpret_cast<std::byte*>(ring[chunk]);
    auto taken = l.retain({bytes, std::strlen(ring[chunk]), static_cast<std::uint64_t>(chunk), 1, 2, true});
    EXPECT_TRUE(taken);
    EXPECT_EQ(l.taken(), *taken);
    EXPECT_TRUE(keeper.took(**taken, static_cast<std::uint64_t>(chunk), now));
    return *taken;
  }
  void tend(bool crowded = false) {
    keeper.tend(pool, now, crowded, [this](std::uint64_t c) { freed.push_back(c); });
  }
  static std::string read(retained* one) {
    const char* at = reinterpret_cast<const char*>(one->pin());
    std::string text(at, one->size);
    one->unpin();
    return text;
  }
};

TEST_F(desk, frees_a_chunk_when_its_lease_comes_back) {
  auto *zero = take(0), *one = take(1);
  tend();
  EXPECT_TRUE(freed.empty());
  EXPECT_EQ(keeper.oldest(), zero);
  one->drop();
  tend();
  EXPECT_EQ(freed, std::vector<std::uint64_t>{1});
  zero->drop();
  tend();
  EXPECT_EQ(freed, (std::vector<std::uint64_t>{1, 0}));
  EXPECT_FALSE(keeper.anything_to_do());
  EXPECT_EQ(keeper.desk()->count(), 0U);
}

TEST_F(desk, moves_what_is_old_and_only_that) {
  auto* zero = take(0);
  now += milliseconds(6);
  auto* one = take(1);
  now += milliseconds(5);
  ASSERT_TRUE(keeper.due());
  EXPECT_LE(*keeper.due(), now);
  tend();
  EXPECT_EQ(freed, std::vector<std::uint64_t>{0});
  EXPECT_TRUE(zero->is_copied());
  EXPECT_FALSE(one->is_copied());
  EXPECT_EQ(*keeper.due(), one->since + milliseconds(10));
  std::memset(ring, '#', sizeof ring[0]);
  EXPECT_EQ(read(zero), "zero");
  zero->drop();
  one->drop();
  tend();
  EXPECT_EQ(freed, (std::vector<std::uint64_t>{0, 1}));
  EXPECT_EQ(keeper.copied(), 1U);
  EXPECT_EQ(keeper.copied_bytes(), 4U);
}

TEST_F(desk, moves_all_but_the_pinned_when_the_ring_is_crowded) {
  auto *zero = take(0), *one = take(1), *two = take(2);
  static_cast<void>(one->pin());
  tend(true);
  EXPECT_EQ(freed, (std::vector<std::uint64_t>{0, 2}));
  EXPECT_GT(*keeper.due(), now) << "not at once again";
  one->unpin();
  tend(true);
  EXPECT_EQ(freed, (std::vector<std::uint64_t>{0, 2, 1}));
  for (auto* each : {zero, one, two}) {
    each->drop();
  }
  tend();
  EXPECT_EQ(freed.size(), 3U) << "each is told of once";
}

TEST_F(desk, copes_with_a_lease_that_comes_back_before_it_is_known) {
  lessor l(keeper.desk(), room);
  auto taken = l.retain({reinterpret_cast<std::byte*>(ring[0]), 4, 0, 1, 2, true});
  ASSERT_TRUE(taken);
  (*taken)->drop();
  tend();
  EXPECT_TRUE(freed.empty()) << "its chunk is not known yet";
  EXPECT_FALSE(keeper.took(*l.taken(), 0, now)) << "the caller frees it";
  EXPECT_FALSE(keeper.any_in_ring());
}

TEST_F(desk, uses_blocks_again) {
  auto* first = take(0);
  first->drop();
  tend();
  EXPECT_EQ(take(1), first);
  first->drop();
}

TEST_F(desk, refuses_beyond_the_limit_but_never_the_only_one) {
  lessor l(keeper.desk(), room);
  std::vector<std::byte> large(20000);
  auto only = l.retain({large.data(), large.size(), 1, 1, 2, false});
  ASSERT_TRUE(only) << "the limit can't forbid a message by itself";
  EXPECT_TRUE((*only)->is_copied());
  EXPECT_FALSE(l.has_taken());
  auto second = l.retain({large.data(), 1, 2, 1, 2, false});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), errc::overloaded);
  (*only)->drop();
  EXPECT_EQ(keeper.desk()->bytes(), 0U);
}

TEST_F(desk, keeps_what_is_pinned_mapped_until_it_comes_back) {
  auto *zero = take(0), *one = take(1);
  static_cast<void>(zero->pin());
  bool mapped = true;
  {
    lease_keeper ends{1000, milliseconds(10)};
    lessor l(ends.desk(), room);
    auto pinned = l.retain({reinterpret_cast<std::byte*>(ring[2]), 3, 2, 1, 2, true});
    static_cast<void>((*pinned)->pin());
    ASSERT_TRUE(ends.took(*l.taken(), 2, now));
    ends.let_go(pool, [&] { return std::shared_ptr<void>(ring, [&](void*) { mapped = false; }); });
    zero->unpin();
    zero->drop();
    one->drop();
    zero = *pinned;
  }
  EXPECT_TRUE(mapped);
  zero->drop();
  EXPECT_TRUE(mapped) << "a pin is left";
  zero->unpin();
  EXPECT_FALSE(mapped);
}

TEST(copy_pool, keeps_no_more_than_it_may) {
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

TEST(copy_pool, keeps_none_that_is_large) {
  copy_pool pool(1024, 128);
  auto *small = pool.take(128), *large = pool.take(129);
  pool.give(large, 129);
  EXPECT_EQ(pool.kept_bytes(), 0U);
  pool.give(small, 128);
  EXPECT_EQ(pool.kept_bytes(), 128U);
}

TEST(retained, is_never_given_up_under_a_reader) {
  // One thread moves, one reads and drops; the ring's place is overwritten as soon as it is given up.
  constexpr int rounds = 20000;
  lease_keeper keeper(1 << 20, milliseconds(0));
  copy_pool pool(1 << 20, 1 << 16);
  callback_room room;
  std::atomic<retained*> passed{nullptr};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    for (int i = 0; i < rounds; ++i) {
      retained* one = nullptr;
      while ((one = passed.exchange(nullptr, std::memory_order_acquire)) == nullptr) {
        std::this_thread::yield();
      }
      for (int look = 0; look < 3; ++look) {
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
    lessor l(keeper.desk(), room);
    auto taken = l.retain({place.data(), place.size(), 0, 1, 2, true});
    ASSERT_TRUE(taken);
    ASSERT_TRUE(keeper.took(*l.taken(), 0, base::time_point{}));
    passed.store(*taken, std::memory_order_release);
    bool given_up = false;
    while (!given_up) {
      keeper.tend(pool, base::time_point{} + milliseconds(1), true, [&](std::uint64_t) { given_up = true; });
    }
    std::fill(place.begin(), place.end(), std::byte{0xff});
    while (keeper.desk()->count() != 0) {
      std::this_thread::yield();
    }
    keeper.collect(pool, [](std::uint64_t) {});
  }
  reader.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
