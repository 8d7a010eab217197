// The line of what waits to be written, and the room that all lines of a reactor share.
#include "cpg/outbox.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>

namespace {

using namespace testing;

struct entry {
  std::vector<std::byte> bytes;
  int number = 0;
  std::shared_ptr<int> held;
};
using line = cpgring::cpg::outbox<entry>;
using shared_room = cpgring::cpg::outbox_room<entry>;

entry one_of(line& where, int number, std::size_t size) {
  entry one;
  one.bytes = where.bytes();
  EXPECT_TRUE(one.bytes.empty());
  one.bytes.resize(size);
  one.number = number;
  return one;
}

std::vector<int> numbers(line& where) {
  std::vector<int> all;
  for (const entry& one : where) {
    all.push_back(one.number);
  }
  return all;
}

TEST(outbox, keeps_the_order) {
  shared_room room;
  line a(room);
  for (int pass = 0; pass < 3; ++pass) {
    for (int i = 0; i < 5; ++i) {
      a.push_back(one_of(a, i, 10));
    }
    a.erase_if([](const entry& one) { return one.number % 2 == 1; });
    EXPECT_THAT(numbers(a), ElementsAre(0, 2, 4));
    a.push_back(one_of(a, 7, 10));
    a.pop_front();
    EXPECT_THAT(numbers(a), ElementsAre(2, 4, 7));
    while (!a.empty()) {
      a.pop_front();
    }
  }
}

TEST(outbox, what_is_free_serves_another_line) {
  shared_room room;
  line a(room), b(room);
  a.push_back(one_of(a, 1, 1000));
  const entry* const place = &a.front();
  const std::byte* const bytes = a.front().bytes.data();
  a.pop_front();
  EXPECT_EQ(room.entries_kept(), 1U);
  EXPECT_EQ(room.bytes_kept(), 1000U);
  b.push_back(one_of(b, 2, 900));
  EXPECT_EQ(&b.front(), place);
  EXPECT_EQ(b.front().bytes.data(), bytes);
  EXPECT_EQ(b.front().bytes.size(), 900U);
  EXPECT_EQ(b.front().number, 2);
  EXPECT_EQ(room.entries_kept(), 0U);
  EXPECT_EQ(room.bytes_kept(), 0U);
}

TEST(outbox, lets_go_at_once_of_what_an_entry_holds) {
  shared_room room;
  line a(room);
  const auto held = std::make_shared<int>(1);
  for (const bool by_hand : {true, false}) {
    entry one = one_of(a, 1, 10);
    one.held = held;
    a.push_back(std::move(one));
    EXPECT_EQ(held.use_count(), 2);
    if (by_hand) {
      a.pop_front();
    } else {
      a.erase_if([](const entry&) { return true; });
    }
    EXPECT_EQ(held.use_count(), 1);
  }
}

TEST(outbox, the_room_of_a_large_message_is_not_kept) {
  shared_room room;
  line a(room);
  a.push_back(one_of(a, 1, shared_room::bytes_of_one_max + 1));
  a.pop_front();
  EXPECT_EQ(room.entries_kept(), 1U);
  EXPECT_EQ(room.bytes_kept(), 0U);
}

TEST(outbox, what_is_kept_is_bounded_for_all_lines_together) {
  shared_room room;
  std::deque<line> lines;
  for (std::size_t i = 0; i < 100; ++i) {
    line& one = lines.emplace_back(room);
    for (int k = 0; k < 100; ++k) {
      one.push_back(one_of(one, k, 1000));
    }
  }
  for (line& one : lines) {
    while (!one.empty()) {
      one.pop_front();
    }
  }
  EXPECT_EQ(room.entries_kept(), shared_room::entries_max);
  EXPECT_LE(room.bytes_kept(), shared_room::bytes_max);
  EXPECT_GT(room.bytes_kept(), shared_room::bytes_max - 1000);
  // And counted rightly on the way back, with and without bytes.
  for (std::size_t i = 0; i < shared_room::entries_max; ++i) {
    line& one = lines[i % lines.size()];
    one.push_back(i % 2 == 0 ? one_of(one, 0, 10) : entry{});
  }
  EXPECT_EQ(room.entries_kept(), 0U);
  EXPECT_EQ(room.bytes_kept(), 0U);
}

TEST(outbox, all_that_waits_can_be_taken_out) {
  shared_room room;
  line a(room);
  a.push_back(one_of(a, 1, 10));
  a.push_back(one_of(a, 2, 10));
  const auto all = a.take_all();
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(all.size(), 2U);
  a.push_back(one_of(a, 3, 10));
  EXPECT_THAT(numbers(a), ElementsAre(3));
}

}  // namespace
