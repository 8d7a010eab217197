// A visit keeps the resources of one cpg_dispatch() call, and is released by a later call if a callback left
// by longjmp(). The tests use made-up stack addresses.
#include "compat/visits.hpp"

#include <array>
#include <cstdint>
#include <memory>

#include <gtest/gtest.h>

namespace {

using cpgring::compat::visit;
using cpgring::compat::visits;

/// A stack of 1000 bytes that grows downwards.
struct visits_of_a_call : ::testing::Test {
  std::array<std::byte, 1000> stack{}, other_stack{};
  visits all{{stack.data(), stack.data() + stack.size()}};
  std::shared_ptr<int> handle = std::make_shared<int>();

  [[nodiscard]] const void* frame(std::size_t depth) const { return stack.data() + stack.size() - 1 - depth; }
  [[nodiscard]] const void* elsewhere(std::size_t depth) const {
    return other_stack.data() + other_stack.size() - 1 - depth;
  }
  [[nodiscard]] long kept() const { return handle.use_count() - 1; }
};

TEST_F(visits_of_a_call, keep_the_handle_until_they_end) {
  visit& one = all.begin(frame(10), handle);
  EXPECT_EQ(kept(), 1);
  all.end(one);
  EXPECT_EQ(kept(), 0);
  EXPECT_EQ(all.open(), 0U);
}

TEST_F(visits_of_a_call, nest) {
  visit& outer = all.begin(frame(10), handle);
  visit& inner = all.begin(frame(20), handle);
  EXPECT_EQ(kept(), 2);
  all.end(inner);
  EXPECT_EQ(kept(), 1);
  all.end(outer);
  EXPECT_EQ(kept(), 0);
}

TEST_F(visits_of_a_call, that_never_ended_are_released_by_the_next_call_at_the_same_depth) {
  all.begin(frame(10), handle);
  visit& next = all.begin(frame(10), handle);
  EXPECT_EQ(kept(), 1);
  all.end(next);
}

TEST_F(visits_of_a_call, that_never_ended_are_released_by_a_call_at_a_lesser_depth) {
  all.begin(frame(10), handle);
  all.begin(frame(20), handle);
  all.sweep(frame(5));
  EXPECT_EQ(kept(), 0);
}

TEST_F(visits_of_a_call, of_an_outer_call_stay_open) {
  visit& outer = all.begin(frame(10), handle);
  all.begin(frame(20), handle);  // never ends
  all.sweep(frame(15));
  EXPECT_EQ(kept(), 1);
  all.end(outer);
}

TEST_F(visits_of_a_call, on_another_stack_stay_open_at_any_address) {
  visit& coroutine = all.begin(elsewhere(10), handle);
  all.sweep(frame(0));
  all.sweep(frame(999));
  all.sweep(elsewhere(0));
  EXPECT_EQ(kept(), 1);
  all.end(coroutine);
}

TEST_F(visits_of_a_call, on_another_stack_that_never_ended_are_released_by_the_next_call_at_the_same_place) {
  all.begin(elsewhere(10), handle);
  visit& next = all.begin(elsewhere(10), handle);
  EXPECT_EQ(kept(), 1);
  all.end(next);
}

TEST_F(visits_of_a_call, end_with_their_thread) {
  {
    visits of_a_thread{{}};
    of_a_thread.begin(frame(10), handle);
    EXPECT_EQ(kept(), 1);
  }
  EXPECT_EQ(kept(), 0);
}

TEST_F(visits_of_a_call, give_memory_that_nested_visits_do_not_use) {
  visit& outer = all.begin(frame(10), handle);
  std::byte* const mine = outer.room(5000);
  mine[4999] = std::byte{7};
  visit& inner = all.begin(frame(20), handle);
  inner.room(6000)[4999] = std::byte{9};
  EXPECT_EQ(mine[4999], std::byte{7});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(mine) % 16, 0U);
  all.end(inner);
  all.end(outer);
}

TEST_F(visits_of_a_call, reuse_the_memory_of_ended_visits) {
  visit& first = all.begin(frame(10), handle);
  std::byte* const at = first.room(5000);
  all.end(first);
  visit& second = all.begin(frame(10), handle);
  EXPECT_EQ(second.room(4000), at);
  all.end(second);
}

TEST_F(visits_of_a_call, keep_a_message_until_drop_kept) {
  visit& one = all.begin(frame(10), handle);
  const std::byte* const at = one.keep(std::vector<std::byte>(3, std::byte{5}));
  EXPECT_EQ(at[2], std::byte{5});
  one.drop_kept();
  all.end(one);
}

TEST(visits, of_this_thread_are_one_object_that_knows_the_stack) {
  visits& mine = visits::of_this_thread();
  EXPECT_EQ(&mine, &visits::of_this_thread());
  const auto handle = std::make_shared<int>();
  const void* const here = __builtin_frame_address(0);
  mine.begin(here, handle);
  mine.sweep(here);
  EXPECT_EQ(handle.use_count(), 1);
}

}  // namespace
