// Semaphore that bounds the outstanding requests of a handle, whatever threads they come from. Without a
// bound, requests made in a loop would fill memory, and multicasts would wait behind all of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace cpgring::delivery {

class request_slots {
  using count_ptr = std::shared_ptr<std::atomic<std::uint32_t>>;

 public:
  explicit request_slots(std::uint32_t most)
      : most_(most), taken_(std::make_shared<std::atomic<std::uint32_t>>(0)) {}

  /// Given back by the destructor, on any thread, possibly after the end of request_slots itself.
  class slot {
   public:
    slot() noexcept = default;
    explicit slot(count_ptr count) noexcept : count_(std::move(count)) {}
    slot(slot&&) noexcept = default;
    slot& operator=(slot&& other) noexcept {
      if (this != &other) {
        give_back();
        count_ = std::move(other.count_);
      }
      return *this;
    }
    ~slot() { give_back(); }
    explicit operator bool() const noexcept { return count_ != nullptr; }

   private:
    // Relaxed, as in take(): nothing is published with the count.
    void give_back() noexcept {
      if (count_) {
        count_->fetch_sub(1, std::memory_order_relaxed);
      }
    }
    count_ptr count_;
  };

  /// Empty: all slots are taken. Any thread.
  [[nodiscard]] slot take() const {
    if (taken_->fetch_add(1, std::memory_order_relaxed) >= most_) {
      taken_->fetch_sub(1, std::memory_order_relaxed);
      return {};
    }
    return slot(taken_);
  }

 private:
  const std::uint32_t most_;
  const count_ptr taken_;
};

}  // namespace cpgring::delivery
