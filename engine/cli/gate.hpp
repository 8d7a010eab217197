// Blocks a sending thread until the engine's thread signals that another attempt makes sense.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>

namespace cpgring::cli {

/// The waiter reads count() before an attempt that may be refused. Any later open() makes wait_past() return.
class gate {
 public:
  [[nodiscard]] std::uint64_t count() {
    const std::lock_guard lock(lock_);
    return count_;
  }
  void open() {
    {
      const std::lock_guard lock(lock_);
      ++count_;
    }
    opened_.notify_all();
  }
  /// False: `end` was requested.
  bool wait_past(std::uint64_t seen, const std::stop_token& end) {
    std::unique_lock lock(lock_);
    return opened_.wait(lock, end, [&] { return count_ != seen; });
  }

 private:
  std::mutex lock_;
  std::condition_variable_any opened_;
  std::uint64_t count_ = 0;
};

}  // namespace cpgring::cli
