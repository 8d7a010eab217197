// Both halves of "sleep unless there is work, wake unless awake". Modelled in tests/model/sleep_flag.pml; nobody else touches such a flag.
//
//   sleeper: announce(), look for work once more, sleep only if there is none, awake()
//   waker:   make the work visible, then: if must_wake(), wake the sleeper by a system call; or wake(), for one that is in sleep()
//
// Invariant: if the waker finds the flag down, the sleeper's second look finds the work. All writes to the flag are read-modify-writes, so
// each reads the one before: either the sleeper's reads what the waker's wrote, and with it the work, or the waker's reads the raised flag.
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
    // SYNC sleep_flag: a plain store could be passed by the second look, and both sides could miss each other.
    asleep_.exchange(1, std::memory_order_acq_rel);
  }
  void awake() noexcept {
    if (asleep_.load(std::memory_order_relaxed) != 0) {
      // SYNC sleep_flag: a plain store would cut the next announce() off from a waker that came just before it, and from its work.
      asleep_.exchange(0, std::memory_order_acq_rel);
    }
  }

  /// Of many wakers one is told to make the system call.
  [[nodiscard]] bool must_wake() noexcept {
    // SYNC sleep_flag: releases the work to a sleeper that announces itself later; a plain load could miss one that just did.
    return asleep_.exchange(0, std::memory_order_acq_rel) != 0;
  }

  /// Still up since announce()? Raises it again if not. For a sleeper whose waker may do nothing more than lower the flag.
  bool still_up() noexcept {
    // SYNC sleep_flag: whoever lowers it after this finds everything that was announced before this.
    return asleep_.exchange(1, std::memory_order_acq_rel) != 0;
  }

  /// Between announce() and awake(): until somebody calls wake(). May return for no reason.
  void sleep() noexcept {
    // The kernel compares the flag with 1 and goes to sleep in one step, so a wake() ahead of this is not lost.
    ::syscall(SYS_futex, &asleep_, FUTEX_WAIT_PRIVATE, 1, nullptr, nullptr, 0);
  }
  /// No system call while the other side is awake.
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
