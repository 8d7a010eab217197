// The common part of backends with io_uring: sources, hang-up polls, watches, completions, sleeping.
//
// A derived class defines how to wait for an event (wake_futex: on its semaphore). Each source has one poll
// for hang-up. Every operation carries the slot and its generation; a completion with an old generation is
// ignored.
#pragma once

#include <memory>
#include <vector>

#include "base/hot.hpp"
#include "reactor/uring.hpp"
#include "reactor/wake_backend.hpp"

namespace cpgring::reactor {

class wake_uring : public wake_backend {
 public:
  ~wake_uring() override { close_ring(); }

  result<void> add(std::uint32_t slot, const wake_target& where) override;
  void remove(std::uint32_t slot) override;
  bool arm_answer(std::uint32_t slot) override;
  result<void> watch(std::uint32_t slot, int fd) override;
  void unwatch(std::uint32_t slot) override;
  void reap(std::vector<completion>& into) override;
  [[nodiscard]] CPGRING_HOT bool pending() const noexcept override {
    return !ring_->quiet() || (ring_->stale() && ++polls_ % polls_between_enters == 0);
  }
  [[nodiscard]] bool poll() noexcept override;
  void sleep(std::optional<base::time_point> until) override;
  [[nodiscard]] int pollable_fd() const noexcept override { return pollable_.get(); }
  void prepare_foreign_wait(std::optional<base::time_point> until, bool at_once) override;
  [[nodiscard]] error why_refused() const override;
  inheritance give_up() override;
  [[nodiscard]] const std::string& setup() const noexcept { return ring_->setup(); }

 protected:
  struct slot_state {
    wake_target where;
    std::uint32_t generation = 0;
    bool used = false;
    bool fixed_file = false;
    bool event_waits = false;  // a wait for an event is pending in the kernel
    bool answer_waits = false;
    bool hang_up_waits = false;
    bool watched = false;
  };
  enum class operation : std::uint8_t { event, answer, hang_up, watch, cross, timeout, ignored };

  wake_uring() = default;
  /// Call it before the self-test of a derived class. `expected`: number of sources.
  result<void> open_ring(std::uint32_t expected);
  /// Call it after the self-test.
  result<void> open_descriptors(std::uint32_t expected);
  /// Afterwards the kernel holds no memory of the sources and no buffer. A derived class that frees such
  /// memory calls this first.
  void close_ring() noexcept { ring_.reset(); }

  /// A wait for an event or an answer of `s` has completed, or is cancelled.
  virtual void wait_ended(operation what, slot_state& s) noexcept = 0;

  static std::uint64_t tag(operation what, std::uint32_t slot, std::uint32_t generation) noexcept {
    return std::uint64_t{slot} << 32 | std::uint64_t{generation & 0xffffffU} << 8 |
           static_cast<std::uint64_t>(what);
  }
  slot_state& at(std::uint32_t slot);
  std::vector<slot_state>& slots() noexcept { return slots_; }
  [[nodiscard]] uring& ring() noexcept { return *ring_; }
  /// Makes `sqe` use the registered file of `s`, if there is one.
  static void set_file(io_uring_sqe* sqe, const slot_state& s, std::uint32_t slot) noexcept;
  static constexpr std::chrono::milliseconds self_test_timeout{1000};

 private:
  void cancel(std::uint64_t user_data) noexcept;
  void arm_cross() noexcept;
  void complete(const io_uring_cqe& cqe, std::vector<completion>& into);
  void complete_source(operation what, std::uint32_t slot, std::vector<completion>& into);
  void enter() noexcept;

  // A system call costs some hundred nanoseconds, a poll of user memory about ten.
  static constexpr std::uint32_t polls_between_enters = 64;
  mutable std::uint32_t polls_ = 0;  // since the kernel was last entered, while its flag was stale
  std::unique_ptr<uring> ring_;
  std::vector<slot_state> slots_;
  std::uint32_t fixed_files_ = 0;
  base::unique_fd pollable_;       // for a foreign loop
  base::unique_fd announcements_;  // in pollable_: readable when something has completed, while announcing_
  bool announcing_ = false;
  std::uint64_t cross_count_ = 0;
  std::optional<base::time_point> foreign_until_;
  __kernel_timespec foreign_ts_{};
};

}  // namespace cpgring::reactor
