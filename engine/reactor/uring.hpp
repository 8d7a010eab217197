// Owns one io_uring: the ladder of set-ups, the probe, entering the kernel as seldom as possible.
//
// Belongs to the thread that made it (SINGLE_ISSUER). Not inherited by children (dontfork).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <cpgring/error.hpp>

#include "base/clock.hpp"
#include "base/closed_in_child.hpp"
#include "reactor/uring_abi.hpp"

namespace cpgring::reactor {

class uring {
 public:
  /// Climbs down from the best set-up to the plainest; `entries` of the submission queue, `completions` of the completion queue.
  /// Errors: unsupported_kernel (refused; the text says by what and how to allow it), no_descriptors, no_memory, or an errno.
  static result<std::unique_ptr<uring>> create(unsigned entries, unsigned completions);
  ~uring();
  uring(const uring&) = delete;
  uring& operator=(const uring&) = delete;

  [[nodiscard]] io_uring* get() noexcept { return &ring_; }
  [[nodiscard]] const std::string& setup() const noexcept { return setup_; }
  [[nodiscard]] bool supports(std::uint8_t opcode) const noexcept;

  /// Never null: a full submission queue is submitted first. After a fault: an entry that nobody submits.
  io_uring_sqe* next_sqe() noexcept;
  /// Nothing to submit, nothing completed, no work of the kernel's waiting to be run: entering would be for nothing.
  [[nodiscard]] bool quiet() const noexcept;
  /// The kernel's sign that work waits was up when we came back from it: either that work came just now, or it came in the moment in which
  /// the kernel took its list and had already taken the sign down, and nothing will take it down again before the next work. quiet() then
  /// no longer heeds the sign; whoever does not sleep has to enter now and then.
  [[nodiscard]] bool stale() const noexcept { return stale_; }
  /// Submits and lets the kernel post completions; does not block.
  void enter() noexcept;
  /// The same, then waits for a completion or `timeout` (none: no limit). Where the kernel can tell the difference, the wait counts as
  /// idleness and not as waiting for I/O.
  void wait(std::optional<base::nanoseconds> timeout) noexcept;
  /// Submits, no more.
  void submit() noexcept;
  /// 0, or the errno with which the kernel refuses io_uring_enter for good. From then on it is not called any more: nothing is submitted,
  /// nothing completes, wait() comes back at once.
  [[nodiscard]] int fault() const noexcept { return fault_; }
  [[nodiscard]] bool overflowed() const noexcept;

 private:
  uring() = default;
  io_uring ring_{};
  base::closed_in_child ring_in_child_;  // a ring holds the files that it has registered
  io_uring_probe* probe_ = nullptr;
  std::string setup_;
  void look_for_stale_flag() noexcept;
  unsigned flush() noexcept;
  int call_enter(unsigned wait_for, unsigned flags, const __kernel_timespec* limit) noexcept;
  void judge(int outcome, bool waited) noexcept;
  unsigned wait_flags_ = 0;        // of each call that waits
  unsigned refused_in_a_row_ = 0;  // waits
  int fault_ = 0;
  bool registered_ = false;
  bool stale_ = false;
};

/// What an errno of io_uring_setup means here, and what to do.
error uring_refused(int errno_value);
/// The same for io_uring_enter.
error uring_enter_refused(int errno_value);

}  // namespace cpgring::reactor
