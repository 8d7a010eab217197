// Lets one thread sleep and others wake it without lost wake-ups and without system calls while it is awake.
// Modelled in tests/model/sleep_flag.pml. The flag is changed by this class only.
//
//   sleeper: announce(); check for work again; sleep only if there is none; awake()
//   waker:   make the work visible; then, if must_wake(), wake the sleeper by a system call
//            (wake() does both for a thread in sleep())
//
// Invariant: if the waker finds the flag 0, the sleeper's second check finds the work. All writes to the flag
// are read-modify-writes, so each reads the value of the one before. Either the sleeper's exchange reads the
// waker's value and so sees the work, or the waker's exchange reads the raised flag.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "base/cache_line.hpp"

namespace cpgring::base {

class sleep_flag {
 public:
  void announce() noexcept {
    // SYNC sleep_flag: the second check could pass a plain store, and both sides could miss each other.
    asleep_.exchange(1, std::memory_order_acq_rel);
  }
  void awake() noexcept {
    if (asleep_.load(std::memory_order_relaxed) != 0) {
      // SYNC sleep_flag: a plain store would end the release sequence of a waker just before it, and the next
      // announce() would not see that waker's work.
      asleep_.exchange(0, std::memory_order_acq_rel);
    }
  }

  /// True for exactly one of several concurrent wakers; it must make the system call.
  [[nodiscard]] bool must_wake() noexcept {
    // SYNC sleep_flag: releases the work to a sleeper that announces itself later; a plain load could miss a
    // sleeper that has just done so.
    return asleep_.exchange(0, std::memory_order_acq_rel) != 0;
  }

  /// True if the flag is still raised since announce(); raises it again if not. For sleepers whose wakers may
  /// lower the flag without a wake-up.
  bool still_up() noexcept {
    // SYNC sleep_flag: a thread that lowers the flag after this sees everything announced before this.
    return asleep_.exchange(1, std::memory_order_acq_rel) != 0;
  }

  /// Sleeps until wake(); between announce() and awake(). May return early.
  void sleep() noexcept {
    // The kernel compares the flag with 1 and begins to sleep in one step, so a wake() just before is not
    // lost.
    ::syscall(SYS_futex, &asleep_, FUTEX_WAIT_PRIVATE, 1, nullptr, nullptr, 0);
  }
  /// Wakes a thread in sleep(). No system call while the other side is awake.
  void wake() noexcept {
    if (must_wake()) {
      ::syscall(SYS_futex, &asleep_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
  }

 private:
  alignas(cache_line) std::atomic<std::uint32_t> asleep_{0};
  static_assert(sizeof(asleep_) == 4 && std::atomic<std::uint32_t>::is_always_lock_free, "a futex");
};

}  // namespace cpgring::base
