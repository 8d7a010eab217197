// Blocks a thread until a ring's semaphore counts something, like sem_timedwait. Uses only the semaphore word
// that the service posts, and does not trust the rest of the sem_t.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "ipc/ring_reader.hpp"

namespace cpgring::ipc {

/// Returns when `ring` has something, after `longest`, or early without a reason.
inline void wait_for_count(const ring_reader& ring, base::nanoseconds longest) noexcept {
  constexpr std::uint64_t one_waiter = std::uint64_t{1} << 32;
  std::uint64_t* const word = ring.semaphore_word();
  // Count and waiters are one word, as in glibc's semaphores. A post after this addition sees a waiter and
  // wakes it; the kernel's comparison finds the count of a post before it. Relaxed: collect() orders
  // everything else.
  __atomic_fetch_add(word, one_waiter, __ATOMIC_RELAXED);
  const timespec limit{longest.count() / 1000000000, longest.count() % 1000000000};
  ::syscall(SYS_futex, word, FUTEX_WAIT, 0, &limit, nullptr, 0);
  __atomic_fetch_sub(word, one_waiter, __ATOMIC_RELAXED);
}

}  // namespace cpgring::ipc
