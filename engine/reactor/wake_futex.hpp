// The wake-up backend that waits for semaphores of events and answers with io_uring futex waits.
//
// - The waiter count in the upper half of the semaphore word is raised, so that the service's ordinary
//   sem_post wakes this thread.
// - The socket is not read here. It fills after about 278 bytes; from then on the service only counts the
//   bytes that it owes. The source reads the socket before that count is dangerous (ipc/doorbell_debt.hpp).
// - A source without a semaphore belongs to a service that never wakes a futex. It is waited for on its
//   socket, and reads the bytes itself.
#pragma once

#include "reactor/wake_uring.hpp"

namespace cpgring::reactor {

class wake_futex final : public wake_uring {
 public:
  /// `expected`: number of sources; more work, a little slower. Errors: unsupported_kernel, and those of
  /// uring::create.
  static result<std::unique_ptr<wake_uring>> create(std::uint32_t expected);
  ~wake_futex() override { lower_all_waiters(); }

  void arm_event(std::uint32_t slot) override;
  bool arm_answer(std::uint32_t slot) override;
  [[nodiscard]] wakeup kind() const noexcept override { return wakeup::futex; }
  inheritance give_up() override;

  /// Tests with a real sem_post whether this C library wakes a futex wait of this kernel. Returns the reason
  /// why not, or an empty string.
  static std::string self_test(uring& ring);

 private:
  wake_futex() = default;
  void wait_ended(operation what, slot_state& s) noexcept override;
  void wait_for(std::uint64_t* semaphore, std::uint64_t user_data) noexcept;
  void lower_all_waiters() noexcept;
};

}  // namespace cpgring::reactor
