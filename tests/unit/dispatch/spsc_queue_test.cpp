// The SPSC queue: order, wrap-around, full and empty, staging, destruction, and use by two threads.
#include "dispatch/spsc_queue.hpp"

#include <array>
#include <deque>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/sleep_flag.hpp"

namespace {

using cpgring::dispatch::spsc_queue;

struct element {  // a descriptor-sized payload with a checksum
  std::uint64_t number;
  std::array<std::uint64_t, 4> copies;
  static element of(std::uint64_t n) { return {n, {n + 1, n * 3, ~n, n ^ 0x5555}}; }
  [[nodiscard]] bool whole() const {
    const element other = of(number);
    return copies == other.copies;
  }
};
static_assert(sizeof(element) == 40);
static_assert(!std::is_copy_constructible_v<spsc_queue<int>::producer> &&
              !std::is_copy_constructible_v<spsc_queue<int>::consumer>);

TEST(spsc_queue, is_empty_then_full_then_empty) {
  spsc_queue<int> q(4);
  auto [in, out] = q.split();
  int got = 0;
  EXPECT_FALSE(out.pop(got));
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(in.emplace(round * 10 + i));
    }
    EXPECT_EQ(in.room(), 0U);
    EXPECT_FALSE(in.emplace(99));
    EXPECT_EQ(out.available(4), 4U);
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(out.pop(got));
      EXPECT_EQ(got, round * 10 + i);
    }
    EXPECT_TRUE(out.empty());
    EXPECT_EQ(in.room(4), 4U);
  }
}

TEST(spsc_queue, hides_staged_elements_until_published) {
  spsc_queue<int> q(4);
  auto [in, out] = q.split();
  int* const first = in.stage(1);
  ASSERT_NE(first, nullptr);
  ASSERT_NE(in.stage(2), nullptr);
  EXPECT_TRUE(out.empty());
  *first = 7;  // the producer may change a staged element
  in.publish();
  EXPECT_EQ(out.available(), 2U);
  EXPECT_EQ(out.front(0), 7);
  EXPECT_EQ(&out.front(0), first) << "not copied";
  EXPECT_EQ(out.front(1), 2);
  ASSERT_NE(in.stage(3), nullptr);
  ASSERT_NE(in.stage(4), nullptr);
  EXPECT_EQ(in.stage(5), nullptr) << "staged elements occupy room";
  out.release(2);
  EXPECT_TRUE(out.empty());
  in.publish();
  EXPECT_EQ(out.available(), 2U);
}

TEST(spsc_queue, carries_move_only_elements) {
  spsc_queue<std::unique_ptr<int>> q(2);
  auto [in, out] = q.split();
  EXPECT_TRUE(in.emplace(std::make_unique<int>(5)));
  std::unique_ptr<int> got;
  EXPECT_TRUE(out.pop(got));
  EXPECT_EQ(*got, 5);
}

TEST(spsc_queue, destroys_each_element_once_including_remaining_ones) {
  struct counted {
    explicit counted(int& n) : alive(&n) { ++*alive; }
    counted(counted&& other) noexcept : alive(other.alive) { ++*alive; }
    counted& operator=(counted&&) = default;
    ~counted() { --*alive; }
    int* alive;
  };
  int alive = 0;
  {
    spsc_queue<counted> q(8);
    auto [in, out] = q.split();
    for (int i = 0; i < 6; ++i) {
      EXPECT_TRUE(in.emplace(alive));
    }
    EXPECT_EQ(alive, 6);
    EXPECT_EQ(out.available(), 6U);
    out.release(2);
    EXPECT_EQ(alive, 4);
    EXPECT_NE(in.stage(alive), nullptr);
    EXPECT_EQ(alive, 5);
  }
  EXPECT_EQ(alive, 0);
}

TEST(spsc_queue_death, can_be_split_only_once) {
  spsc_queue<int> q(2);
  static_cast<void>(q.split());
  EXPECT_DEATH(static_cast<void>(q.split()), "has_been_split");
}

RC_GTEST_PROP(spsc_queue, behaves_like_a_bounded_deque, ()) {
  spsc_queue<std::uint64_t> q(std::size_t{1} << *rc::gen::inRange(1, 6));
  auto [in, out] = q.split();
  std::deque<std::uint64_t> model;
  std::uint64_t next = 0;
  for (const int step : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 64))) {
    const auto many = static_cast<std::size_t>(step) / 4;
    std::vector<std::uint64_t> some(many);
    switch (step % 4) {
      case 0: {
        const bool pushed = in.emplace(next);
        RC_ASSERT(pushed == (model.size() < q.capacity()));
        if (pushed) {
          model.push_back(next++);
        }
        break;
      }
      case 1: {
        std::iota(some.begin(), some.end(), next);
        const std::size_t pushed = in.push(some);
        RC_ASSERT(pushed == std::min(many, q.capacity() - model.size()));
        model.insert(model.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(pushed));
        next += pushed;
        break;
      }
      case 2: {
        std::uint64_t got = 0;
        const bool popped = out.pop(got);
        RC_ASSERT(popped == !model.empty());
        if (popped) {
          RC_ASSERT(got == model.front());
          model.pop_front();
        }
        break;
      }
      default: {
        const std::size_t popped = out.pop(std::span(some));
        RC_ASSERT(popped == std::min(many, model.size()));
        for (std::size_t i = 0; i < popped; ++i) {
          RC_ASSERT(some[i] == model.front());
          model.pop_front();
        }
      }
    }
  }
}

class spsc_queue_threads : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(capacity, spsc_queue_threads, ::testing::Values(2U, 8U, 1024U));

TEST_P(spsc_queue_threads, transfer_all_elements_intact_and_in_order) {
  constexpr std::uint64_t count = 300000;
  spsc_queue<element> q(GetParam());
  auto [in, out] = q.split();
  std::thread producer([in = std::move(in)]() mutable {
    std::array<element, 7> some;
    for (std::uint64_t n = 0; n < count;) {
      if (n % 3 == 0) {
        const std::size_t want = std::min<std::uint64_t>(some.size(), count - n);
        for (std::size_t i = 0; i < want; ++i) {
          some[i] = element::of(n + i);
        }
        n += in.push({some.data(), want});
      } else {
        n += in.emplace(element::of(n)) ? 1U : 0U;
      }
    }
  });
  std::array<element, 5> some;
  std::uint64_t next = 0;
  bool whole = true;
  while (next < count) {
    const std::size_t got = next % 2 == 0 ? out.pop(std::span(some)) : (out.pop(some[0]) ? 1U : 0U);
    for (std::size_t i = 0; i < got; ++i) {
      whole = whole && some[i].number == next && some[i].whole();
      ++next;
    }
  }
  producer.join();
  EXPECT_TRUE(whole);
  EXPECT_TRUE(out.empty());
}

TEST_P(spsc_queue_threads, never_miss_a_wake_up) {
  constexpr std::uint64_t count = 20000;
  spsc_queue<std::uint64_t> q(GetParam());
  auto [in, out] = q.split();
  cpgring::base::sleep_flag asleep;
  std::thread producer([&asleep, in = std::move(in)]() mutable {
    for (std::uint64_t n = 0; n < count;) {
      if (in.emplace(n)) {
        ++n;
        asleep.wake();
      }
      if (n % 64 == 0) {
        std::this_thread::yield();  // gives the consumer a chance to sleep
      }
    }
  });
  std::uint64_t next = 0, got = 0;
  bool ordered = true;
  while (next < count) {
    if (out.pop(got)) {
      ordered = ordered && got == next++;
      continue;
    }
    asleep.announce();
    if (out.empty()) {
      asleep.sleep();  // sleeps for ever if a wake-up is lost
    }
    asleep.awake();
  }
  producer.join();
  EXPECT_TRUE(ordered);
}

}  // namespace
