// Maps the numbers that C programs hold to objects.
//
// A number has a random check value in its upper half and an index in its lower half, so that a number which
// was finalized or never given out is detected. Any thread. In a child process every number of the parent is
// unknown: rings and sockets belong to the parent.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "base/fork_guard.hpp"

namespace cpgring::compat {

template <class T>
class handle_table {
 public:
  std::uint64_t insert(std::shared_ptr<T> what) {
    rows& r = present();
    const std::unique_lock lock(r.lock);
    std::uint32_t place = 0;
    if (r.free.empty()) {
      place = static_cast<std::uint32_t>(r.all.size());
      r.all.emplace_back();
    } else {
      place = r.free.back();
      r.free.pop_back();
    }
    // Never 0, so that a handle of zero bytes is invalid.
    const std::uint32_t check = 1 + static_cast<std::uint32_t>(r.random() % 0x7ffffffeU);
    r.all[place] = {check, std::move(what)};
    return std::uint64_t{check} << 32 | place;
  }
  /// Null: unknown in this process.
  std::shared_ptr<T> find(std::uint64_t number) {
    rows& r = present();
    const std::shared_lock lock(r.lock);
    const row* at = r.at(number);
    return at == nullptr ? nullptr : at->what;
  }
  /// Like find(), and makes the number unknown.
  std::shared_ptr<T> take(std::uint64_t number) {
    rows& r = present();
    const std::unique_lock lock(r.lock);
    row* at = r.at(number);
    if (at == nullptr) {
      return nullptr;
    }
    r.free.push_back(static_cast<std::uint32_t>(number));
    at->check = 0;
    return std::exchange(at->what, nullptr);
  }

 private:
  struct row {
    std::uint32_t check = 0;
    std::shared_ptr<T> what;
  };
  struct rows {
    base::fork_guard guard;
    std::shared_mutex lock;
    std::vector<row> all;
    std::vector<std::uint32_t> free;
    std::mt19937_64 random{std::random_device{}()};

    row* at(std::uint64_t number) {
      const auto place = static_cast<std::uint32_t>(number);
      const auto check = static_cast<std::uint32_t>(number >> 32);
      return place < all.size() && check != 0 && all[place].check == check ? &all[place] : nullptr;
    }
  };

  /// The table of this process. A child never changes or frees its parent's table: a lock in it may have been
  /// held at the fork.
  rows& present() {
    // SYNC handle_rows: without acquire, a table could be seen without what its constructor wrote.
    rows* seen = rows_.load(std::memory_order_acquire);
    while (seen == nullptr || seen->guard.in_child()) {
      auto made = std::make_unique<rows>();
      // SYNC handle_rows: publishes what the constructor wrote; acquires another thread's table, as above.
      if (rows_.compare_exchange_strong(seen, made.get(), std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
        return *made.release();
      }
    }
    return *seen;
  }

  std::atomic<rows*> rows_{nullptr};
};

}  // namespace cpgring::compat
