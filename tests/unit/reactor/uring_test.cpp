// One io_uring: when entering it is worth while.
#include <liburing.h>

#include <gtest/gtest.h>

#include "reactor/uring.hpp"

namespace {

using namespace cpgring::reactor;

void raise_sign(uring& ring) { __atomic_fetch_or(ring.get()->sq.kflags, IORING_SQ_TASKRUN, __ATOMIC_RELAXED); }

std::unique_ptr<uring> made() {
  auto ring = uring::create(8, 16);
  if (!ring) {
    ADD_FAILURE() << ring.error().message();
    return nullptr;
  }
  return std::move(*ring);
}

TEST(uring, a_sign_of_work_that_the_kernel_left_up_is_heeded_once) {
  const auto ring = made();
  ASSERT_TRUE(ring);
  EXPECT_TRUE(ring->quiet());
  raise_sign(*ring);
  EXPECT_FALSE(ring->quiet());
  ring->enter();
  EXPECT_TRUE(ring->quiet()) << "or every look would enter the kernel, and nobody would sleep";
}

TEST(uring, what_completes_is_seen_though_the_sign_is_stale) {
  const auto ring = made();
  ASSERT_TRUE(ring);
  raise_sign(*ring);
  ring->enter();
  ::io_uring_prep_nop(ring->next_sqe());
  EXPECT_FALSE(ring->quiet()) << "something is to be submitted";
  ring->enter();
  EXPECT_FALSE(ring->quiet()) << "something has completed";
  EXPECT_EQ(::io_uring_cq_ready(ring->get()), 1U);
}

TEST(uring, the_sign_counts_again_once_it_was_down) {
  const auto ring = made();
  ASSERT_TRUE(ring);
  raise_sign(*ring);
  ring->enter();
  __atomic_fetch_and(ring->get()->sq.kflags, ~static_cast<unsigned>(IORING_SQ_TASKRUN), __ATOMIC_RELAXED);
  ring->enter();
  EXPECT_FALSE(ring->stale());
  raise_sign(*ring);
  EXPECT_FALSE(ring->quiet());
}

}  // namespace
