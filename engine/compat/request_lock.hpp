// Protects the writing of requests and the reading of answers. Like a mutex, but a thread that waits for it
// can be cancelled.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "compat/cancellation.hpp"

namespace cpgring::compat {

class request_lock {
 public:
  bool try_lock() noexcept {
    std::uint32_t seen = nobody;
    // SYNC request_lock: without acquire, writes of the last holder might not be seen.
    return state_.compare_exchange_strong(seen, held, std::memory_order_acquire, std::memory_order_relaxed);
  }
  /// To be called inside an `uncancelled`. The wait is a cancellation point.
  void lock() {
    if (try_lock()) {
      return;
    }
    // SYNC request_lock: without acquire, writes of the last holder might not be seen. Marks the lock as
    // wanted, so that its holder wakes a thread when it unlocks.
    while (state_.exchange(wanted, std::memory_order_acquire) != nobody) {
      // Limited in time: the thread that is woken may be cancelled, and a cancellation may arrive just before
      // the sleep.
      static constexpr timespec longest{0, 50000000};
      cancellably(
          [this] { ::syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, wanted, &longest, nullptr, 0); });
    }
  }
  void unlock() noexcept {
    // SYNC request_lock: without release, the next holder might not see what this one wrote.
    if (state_.exchange(nobody, std::memory_order_release) == wanted) {
      ::syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
  }

 private:
  enum : std::uint32_t { nobody, held, wanted };
  std::atomic<std::uint32_t> state_{nobody};
  static_assert(sizeof state_ == sizeof(std::uint32_t));
};

}  // namespace cpgring::compat
