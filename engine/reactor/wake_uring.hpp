// Waiting with io_uring: for an event's semaphore by a futex wait, or for its doorbell byte by a receive.
//
// futex: the waiter count in the upper half of the semaphore word is raised, so that the service's ordinary sem_post wakes us. The socket
// is not read here: it fills after about 278 bytes, and from then on the service only counts what it owes. The source reads it before that
// count gets dangerous (ipc/doorbell_debt.hpp). socket: one receive with a provided buffer is pending for each armed source; never a
// multishot one, which would complete for every byte. Both: one poll for hang-up for each source.
#pragma once

#include <memory>
#include <vector>

#include "reactor/uring.hpp"
#include "reactor/wake_backend.hpp"

namespace cpgring::reactor {

class wake_uring final : public wake_backend {
 public:
  /// `kind`: futex or socket. `expected`: sources; more are possible, a little slower.
  static result<std::unique_ptr<wake_uring>> create(wakeup kind, std::uint32_t expected);
  ~wake_uring() override;

  result<void> add(std::uint32_t slot, const wake_target& where) override;
  void remove(std::uint32_t slot) override;
  void arm_event(std::uint32_t slot) override;
  bool arm_answer(std::uint32_t slot) override;
  result<void> watch(std::uint32_t slot, int fd) override;
  void unwatch(std::uint32_t slot) override;
  void reap(std::vector<completion>& into) override;
  [[nodiscard]] bool pending() const noexcept override { return !ring_->quiet() || (ring_->stale() && ++looks_ % looks_between == 0); }
  [[nodiscard]] bool look() noexcept override;
  void sleep(std::optional<base::time_point> until) override;
  [[nodiscard]] int pollable_fd() const noexcept override { return pollable_.get(); }
  void prepare_foreign_wait(std::optional<base::time_point> until, bool at_once) override;
  [[nodiscard]] wakeup kind() const noexcept override { return kind_; }
  [[nodiscard]] error why_refused() const override;
  inheritance give_up() override;
  [[nodiscard]] const std::string& setup() const noexcept { return ring_->setup(); }

  /// Whether sem_post of this C library wakes a futex wait of this kernel, tried with a real one. Empty: it does; else why not.
  static std::string futex_self_test(uring& ring);

 private:
  struct slot_state {
    wake_target where;
    std::uint32_t generation = 0;
    bool used = false;
    bool fixed_file = false;
    bool event_waits = false;  // a wait for an event is with the kernel
    bool answer_waits = false;
    bool hang_up_waits = false;
    bool watched = false;
  };
  enum class operation : std::uint8_t { event, answer, hang_up, watch, cross, timeout, ignored };

  wake_uring() = default;
  static std::uint64_t tag(operation what, std::uint32_t slot, std::uint32_t generation) noexcept;
  slot_state& at(std::uint32_t slot);
  void set_file(io_uring_sqe* sqe, const slot_state& s, std::uint32_t slot) noexcept;
  void wait_for(std::uint64_t* semaphore, std::uint64_t user_data) noexcept;
  void cancel(std::uint64_t user_data) noexcept;
  void arm_cross() noexcept;
  void complete(const io_uring_cqe& cqe, std::vector<completion>& into);
  void give_back(unsigned buffer) noexcept;
  result<void> provide_buffers();
  /// The same for a receive with a provided buffer, tried with a real byte.
  std::string socket_self_test();
  void lower_all_waiters() noexcept;
  void enter() noexcept;

  // A system call costs some hundred nanoseconds, a look some ten.
  static constexpr std::uint32_t looks_between = 64;
  mutable std::uint32_t looks_ = 0;  // since the kernel was last entered, while its sign was stale
  std::unique_ptr<uring> ring_;
  wakeup kind_ = wakeup::futex;
  std::vector<slot_state> slots_;
  std::uint32_t fixed_files_ = 0;
  io_uring_buf_ring* buffers_ = nullptr;
  std::size_t buffer_ring_bytes_ = 0;
  std::vector<char> sink_;         // all provided buffers are this one: doorbell bytes mean nothing
  base::unique_fd pollable_;       // for a foreign loop
  base::unique_fd announcements_;  // in it: what the io_uring has to say, once it is asked to
  bool announcing_ = false;
  std::uint64_t cross_count_ = 0;
  std::optional<base::time_point> foreign_until_;
  __kernel_timespec foreign_ts_{};
};

}  // namespace cpgring::reactor
