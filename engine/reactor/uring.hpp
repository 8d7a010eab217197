// Owns one io_uring: tries several set-ups, knows what the kernel supports, enters the kernel as rarely as
// possible.
//
// For the thread that made it only (SINGLE_ISSUER). Not inherited by child processes (dontfork).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <cpgring/result.hpp>

#include "base/clock.hpp"
#include "base/closed_in_child.hpp"
#include "reactor/uring_abi.hpp"

namespace cpgring::reactor {

class uring {
 public:
  /// Tries the set-ups from the best to the plainest. `entries`: size of the submission queue; `completions`:
  /// size of the completion queue. Errors: unsupported_kernel (the text says what refuses it and how to allow
  /// it), no_descriptors, no_memory, or an errno.
  static result<std::unique_ptr<uring>> create(unsigned entries, unsigned completions);
  ~uring();
  uring(const uring&) = delete;
  uring& operator=(const uring&) = delete;

  [[nodiscard]] io_uring* get() noexcept { return &ring_; }
  [[nodiscard]] const std::string& setup() const noexcept { return setup_; }
  [[nodiscard]] bool supports(std::uint8_t opcode) const noexcept;

  /// Never null: a full submission queue is submitted first. After a fault: an entry that is never submitted.
  io_uring_sqe* next_sqe() noexcept;
  /// True if there is nothing to submit, nothing has completed and no work of the kernel is pending: entering
  /// the kernel would have no effect.
  [[nodiscard]] bool quiet() const noexcept;
  /// True if IORING_SQ_TASKRUN was set when the kernel was left. Either work came just then, or it came when
  /// the kernel had cleared the flag and was taking its list, and nothing clears the flag before the next
  /// work. While true, quiet() ignores the flag, so a thread that does not sleep must enter the kernel from
  /// time to time.
  [[nodiscard]] bool stale() const noexcept { return stale_; }
  /// True if completions are in the queue, and entering the kernel would add none: nothing is to be submitted
  /// and no work of the kernel is pending. So it is after most waits.
  [[nodiscard]] bool delivered() const noexcept;
  /// Submits, and lets the kernel post completions. Does not block.
  void enter() noexcept;
  /// As enter(), then waits for a completion or `timeout` (none: no limit). If the kernel can tell the
  /// difference, the wait counts as idle time and not as waiting for I/O.
  void wait(std::optional<base::nanoseconds> timeout) noexcept;
  /// Only submits.
  void submit() noexcept;
  /// 0, or the errno with which the kernel refuses io_uring_enter for good. From then on it is not called any
  /// more: nothing is submitted, nothing completes, wait() returns at once.
  [[nodiscard]] int fault() const noexcept { return fault_; }
  [[nodiscard]] bool overflowed() const noexcept;

 private:
  uring() = default;
  io_uring ring_{};
  base::closed_in_child ring_in_child_;  // an inherited ring would keep its registered files open
  io_uring_probe* probe_ = nullptr;
  std::string setup_;
  void update_stale() noexcept;
  unsigned flush() noexcept;
  int call_enter(unsigned wait_for, unsigned flags, const __kernel_timespec* limit) noexcept;
  void judge(int outcome, bool waited) noexcept;
  unsigned wait_flags_ = 0;        // of each call that waits
  unsigned refused_in_a_row_ = 0;  // waits refused in a row
  int fault_ = 0;
  bool registered_ = false;
  bool stale_ = false;
};

/// The error for an errno of io_uring_setup: its meaning here, and the remedy.
error uring_refused(int errno_value);
/// The same for io_uring_enter.
error uring_enter_refused(int errno_value);

}  // namespace cpgring::reactor
