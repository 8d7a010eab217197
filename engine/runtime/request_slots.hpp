// How many requests of a handle somebody still waits for: a bounded number, whatever threads they come from. Without a bound, who asks in a
// loop and does not wait would fill memory, and multicasts would stand behind it all.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace cpgring::runtime {

class request_slots {
 public:
  explicit request_slots(std::uint32_t most) : most_(most), taken_(std::make_shared<std::atomic<std::uint32_t>>(0)) {}

  /// Given back when this goes, on any thread, and maybe after the slots themselves.
  class slot {
   public:
    slot() noexcept = default;
    explicit slot(std::shared_ptr<std::atomic<std::uint32_t>> of) noexcept : of_(std::move(of)) {}
    slot(slot&&) noexcept = default;
    slot& operator=(slot&& other) noexcept {
      if (this != &other) {
        give_back();
        of_ = std::move(other.of_);
      }
      return *this;
    }
    ~slot() { give_back(); }
    explicit operator bool() const noexcept { return of_ != nullptr; }

   private:
    // Relaxed, as take(): a number alone.
    void give_back() noexcept {
      if (of_) {
        of_->fetch_sub(1, std::memory_order_relaxed);
      }
    }
    std::shared_ptr<std::atomic<std::uint32_t>> of_;
  };

  /// Empty: all are taken. Any thread.
  [[nodiscard]] slot take() const {
    if (taken_->fetch_add(1, std::memory_order_relaxed) >= most_) {
      taken_->fetch_sub(1, std::memory_order_relaxed);
      return {};
    }
    return slot(taken_);
  }

 private:
  const std::uint32_t most_;
  const std::shared_ptr<std::atomic<std::uint32_t>> taken_;
};

}  // namespace cpgring::runtime
