// Sleeping until a ring's semaphore counts something, for those who have a thread to spare: what sem_timedwait does, on the word that the
// service posts, without trusting the rest of the structure.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "ipc/ring_reader.hpp"

namespace cpgring::ipc {

/// Returns when `ring` has something, after `longest`, or for no reason.
inline void wait_for_count(const ring_reader& ring, base::nanoseconds longest) noexcept {
  constexpr std::uint64_t one_waiter = std::uint64_t{1} << 32;
  std::uint64_t* const word = ring.semaphore_word();
  // Count and waiters are one word, as in glibc's semaphores: a post either comes behind this and wakes us, or ahead of it and the kernel
  // finds the count. No order with anything else is needed: collect() brings that.
  __atomic_fetch_add(word, one_waiter, __ATOMIC_RELAXED);
  const timespec limit{longest.count() / 1000000000, longest.count() % 1000000000};
  ::syscall(SYS_futex, word, FUTEX_WAIT, 0, &limit, nullptr, 0);
  __atomic_fetch_sub(word, one_waiter, __ATOMIC_RELAXED);
}

}  // namespace cpgring::ipc
