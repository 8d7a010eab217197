// Both halves of "sleep unless there is work, wake unless awake". Modelled in tests/model/sleep_flag.pml; nobody else touches such a flag.
//
//   sleeper: announce(), look for work once more, sleep only if there is none, awake()
//   waker:   make the work visible, then: if must_wake(), wake the sleeper by a system call
//
// Invariant: if the waker finds the flag down, the sleeper's second look finds the work. Both sides use a read-modify-write on the one
// flag, so one of them comes first: either the sleeper's reads what the waker's wrote, and with it the work, or the waker's reads the
// raised flag.
#pragma once

#include <atomic>

#include "base/cache_line.hpp"

namespace cpgring::base {

class sleep_flag {
 public:
  void announce() noexcept {
    // SYNC sleep_flag: a plain store could be passed by the second look, and both sides could miss each other.
    asleep_.exchange(true, std::memory_order_acq_rel);
  }
  void awake() noexcept { asleep_.store(false, std::memory_order_relaxed); }

  /// Of many wakers one is told to make the system call.
  [[nodiscard]] bool must_wake() noexcept {
    // SYNC sleep_flag: releases the work to a sleeper that announces itself later; a plain load could miss one that just did.
    return asleep_.exchange(false, std::memory_order_acq_rel);
  }

 private:
  alignas(cache_line) std::atomic<bool> asleep_{false};
};

}  // namespace cpgring::base
