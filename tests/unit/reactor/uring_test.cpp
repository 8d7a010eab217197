// One io_uring: when io_uring_enter is needed.
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

void raise_taskrun(uring& ring) {
  __atomic_fetch_or(ring.get()->sq.kflags, IORING_SQ_TASKRUN, __ATOMIC_RELAXED);
}

std::unique_ptr<uring> made() {
  auto ring = uring::create(8, 16);
  if (!ring) {
    ADD_FAILURE() << ring.error().message();
    return nullptr;
  }
  return std::move(*ring);
}

TEST(uring, a_stale_taskrun_flag_is_obeyed_once) {
  const auto ring = made();
  ASSERT_TRUE(ring);
  EXPECT_TRUE(ring->quiet());
  raise_taskrun(*ring);
  EXPECT_FALSE(ring->quiet());
  ring->enter();
  EXPECT_TRUE(ring->quiet()) << "else every poll would enter the kernel, and no thread would sleep";
}

TEST(uring, completions_are_seen_despite_a_stale_taskrun_flag) {
  const auto ring = made();
  ASSERT_TRUE(ring);
  raise_taskrun(*ring);
  ring->enter();
  ::io_uring_prep_nop(ring->next_sqe());
  EXPECT_FALSE(ring->quiet()) << "a request waits for submission";
  ring->enter();
  EXPECT_FALSE(ring->quiet()) << "a completion waits";
  EXPECT_EQ(::io_uring_cq_ready(ring->get()), 1U);
}

TEST(uring, a_taskrun_flag_counts_again_after_it_was_cleared) {
  const auto ring = made();
  ASSERT_TRUE(ring);
  raise_taskrun(*ring);
  ring->enter();
  __atomic_fetch_and(ring->get()->sq.kflags, ~static_cast<unsigned>(IORING_SQ_TASKRUN), __ATOMIC_RELAXED);
  ring->enter();
  EXPECT_FALSE(ring->stale());
  raise_taskrun(*ring);
  EXPECT_FALSE(ring->quiet());
}

/// The number for the whole machine.
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
    std::thread waits([&] {  // a ring is used by the thread that made it
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
    // Other processes wait for I/O only now and then; a counted wait would show in every sample.
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
      GTEST_SKIP() << "the kernel does not support IORING_FEAT_NO_IOWAIT (Linux 6.15)";
    }
    EXPECT_EQ(least, 0);
  }
}

}  // namespace
