// One io_uring: when entering it is worth while.
#include <liburing.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "base/owned.hpp"

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

/// Of the whole machine.
int threads_that_wait_for_io() {
  std::ifstream file("/proc/stat");
  std::string name;
  int count = 0;
  while (file >> name) {
    if (name == "procs_blocked" && file >> count) {
      return count;
    }
  }
  return -1;
}

char state_of(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string pid, name;
  char state = 0;
  file >> pid >> name >> state;
  return state;
}

TEST(uring_alone, a_wait_does_not_count_as_waiting_for_io) {
  constexpr std::chrono::seconds patience{60};
  for (const bool limited : {false, true}) {
    const cpgring::base::unique_fd end(::eventfd(0, EFD_CLOEXEC));
    std::atomic<pid_t> waiter{0};
    std::atomic<bool> offered{true};
    std::thread waits([&] {  // a ring belongs to its thread
      const auto ring = made();
      if (!ring || (ring->get()->features & cpgring::reactor::abi::feature_no_iowait) == 0) {
        offered = false;
        return;
      }
      std::uint64_t count = 0;
      ::io_uring_prep_read(ring->next_sqe(), end.get(), &count, sizeof count, 0);
      waiter = ::gettid();
      while (::io_uring_cq_ready(ring->get()) == 0) {
        ring->wait(limited ? std::optional<cpgring::base::nanoseconds>(patience) : std::nullopt);
      }
    });
    while (offered && (waiter == 0 || state_of(waiter) != 'S')) {
      std::this_thread::yield();
    }
    // Others may wait for a disk at one moment or the next; this one would at each.
    int least = INT32_MAX;
    const auto until = std::chrono::steady_clock::now() + patience;
    while (offered && least > 0 && std::chrono::steady_clock::now() < until) {
      least = std::min(least, threads_that_wait_for_io());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const std::uint64_t one = 1;
    EXPECT_EQ(::write(end.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
    waits.join();
    if (!offered) {
      GTEST_SKIP() << "the kernel can't tell the difference (Linux 6.15)";
    }
    EXPECT_EQ(least, 0);
  }
}

}  // namespace
