#include "dispatch/intake_queue.hpp"

#include <atomic>
#include <cstring>
#include <deque>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace {

using cpgring::dispatch::intake_queue;

bool push(intake_queue& q, std::uint32_t kind, std::uint64_t id, std::string_view text) {
  const std::span<const std::byte> one[] = {std::as_bytes(std::span(text.data(), text.size()))};
  return q.push(kind, id, one, text.size());
}

struct record {
  std::uint32_t kind;
  std::uint64_t id;
  std::string text;
  friend bool operator==(const record&, const record&) = default;
};

std::vector<record> pop(intake_queue& q, std::uint32_t at_most) {
  std::vector<record> out;
  q.pop(at_most, [&](std::uint32_t kind, std::uint64_t id, std::span<const std::byte> bytes) {
    out.push_back({kind, id, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())});
  });
  return out;
}

TEST(intake_queue, is_empty_at_first_and_after_the_last_pop) {
  intake_queue q(4096);
  EXPECT_FALSE(q.pending());
  ASSERT_TRUE(push(q, 1, 2, "three"));
  EXPECT_TRUE(q.pending());
  EXPECT_EQ(pop(q, 10), (std::vector<record>{{1, 2, "three"}}));
  EXPECT_FALSE(q.pending());
}

TEST(intake_queue, refuses_when_full_and_accepts_again_after_a_pop) {
  intake_queue q(4096);
  const std::string text(480, 'x');  // 512 bytes with its header
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(push(q, 1, 0, text)) << i;
  }
  EXPECT_FALSE(push(q, 1, 0, text));
  EXPECT_EQ(pop(q, 1).size(), 1U);
  EXPECT_TRUE(push(q, 1, 0, text));
  EXPECT_FALSE(push(q, 1, 0, ""));
}

TEST(intake_queue, joins_pieces_into_one_record) {
  intake_queue q(4096);
  const char a[] = {'a'}, b[] = {'b', 'c'};
  const std::span<const std::byte> pieces[] = {std::as_bytes(std::span(a)), {}, std::as_bytes(std::span(b))};
  ASSERT_TRUE(q.push(7, 8, pieces, 3));
  EXPECT_EQ(pop(q, 1), (std::vector<record>{{7, 8, "abc"}}));
}

RC_GTEST_PROP(intake_queue, behaves_like_a_bounded_list_over_many_laps, ()) {
  intake_queue q(4096);
  std::deque<record> model;
  const auto steps = *rc::gen::container<std::vector<std::pair<bool, std::uint16_t>>>(
      400, rc::gen::pair(rc::gen::arbitrary<bool>(), rc::gen::inRange<std::uint16_t>(0, 990)));
  std::uint64_t id = 0;
  for (const auto& [pushing, size] : steps) {
    if (pushing) {
      record r{3, ++id, std::string(size, static_cast<char>('a' + id % 26))};
      if (push(q, r.kind, r.id, r.text)) {
        model.push_back(r);
      } else {
        RC_ASSERT(!model.empty());  // a refusal needs a reason
      }
    } else {
      for (const auto& r : pop(q, 3)) {
        RC_ASSERT(!model.empty());
        RC_ASSERT(r == model.front());
        model.pop_front();
      }
    }
  }
}

TEST(intake_queue, keeps_the_order_of_each_producer_and_loses_nothing) {
  intake_queue q(1 << 14);
  constexpr std::uint64_t producers = 3, each = 40000;
  std::vector<std::thread> threads;
  for (std::uint64_t p = 0; p < producers; ++p) {
    threads.emplace_back([&q, p] {
      for (std::uint64_t i = 0; i < each; ++i) {
        const std::string text(i % 200, static_cast<char>('a' + p));
        std::string body(sizeof i, '\0');
        std::memcpy(body.data(), &i, sizeof i);
        body += text;
        while (!push(q, static_cast<std::uint32_t>(p), i, body)) {
          std::this_thread::yield();
        }
      }
    });
  }
  std::vector<std::uint64_t> next(producers, 0);
  bool fine = true;
  while (std::accumulate(next.begin(), next.end(), std::uint64_t{0}) < producers * each) {
    const auto taken = q.pop(64, [&](std::uint32_t p, std::uint64_t id, std::span<const std::byte> bytes) {
      std::uint64_t inside = 0;
      std::memcpy(&inside, bytes.data(), sizeof inside);
      fine =
          fine && p < producers && id == next[p] && inside == id && bytes.size() == sizeof inside + id % 200;
      for (std::size_t i = sizeof inside; i < bytes.size(); ++i) {
        fine = fine && bytes[i] == static_cast<std::byte>('a' + p);
      }
      next[p] = id + 1;
    });
    if (taken == 0) {
      std::this_thread::yield();
    }
  }
  for (auto& t : threads) {
    t.join();
  }
  EXPECT_TRUE(fine);
  EXPECT_FALSE(q.pending());
}

}  // namespace
