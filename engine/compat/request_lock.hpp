// Who writes requests and reads answers. As a mutex, but a thread that waits for it can be cancelled.
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
    // SYNC request_lock: what the last holder did is seen.
    return state_.compare_exchange_strong(seen, held, std::memory_order_acquire, std::memory_order_relaxed);
  }
  /// Inside an uncancelled. A thread may be cancelled while it waits.
  void lock() {
    if (try_lock()) {
      return;
    }
    // SYNC request_lock: what the last holder did is seen. The lock is marked as wanted, so that its holder wakes a thread when it unlocks.
    while (state_.exchange(wanted, std::memory_order_acquire) != nobody) {
      // Not for ever: whoever is woken may be cancelled, and a cancellation may come just ahead of the sleep.
      static constexpr timespec longest{0, 50000000};
      cancellably([this] { ::syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, wanted, &longest, nullptr, 0); });
    }
  }
  void unlock() noexcept {
    // SYNC request_lock: all that was done under it comes before.
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
