// The wake-up backend without io_uring: the same contract on epoll.
//
// Edge-triggered: every byte that arrives is an edge, so no system call is needed to stop waiting for a
// source that is polled. Arming empties the socket, because a full one gives no edge; the reactor's second
// check follows.
#pragma once

#include <memory>
#include <vector>

#include "base/hot.hpp"
#include "reactor/wake_backend.hpp"

namespace cpgring::reactor {

class wake_epoll final : public wake_backend {
 public:
  /// Tested with a real event before it is returned. Errors: unsupported_kernel (a system call is refused),
  /// no_descriptors.
  static result<std::unique_ptr<wake_epoll>> create();
  /// Replaces a refused backend, under the same descriptor numbers. If that is not possible, the new backend
  /// is refused as well.
  static std::unique_ptr<wake_epoll> succeed(inheritance from);

  result<void> add(std::uint32_t slot, const wake_target& where) override;
  void remove(std::uint32_t slot) override;
  void arm_event(std::uint32_t slot) override;
  bool arm_answer(std::uint32_t) override { return false; }
  result<void> watch(std::uint32_t slot, int fd) override;
  void unwatch(std::uint32_t slot) override;
  void reap(std::vector<completion>& into) override;
  /// Always true: user memory shows nothing, so each reap makes one system call.
  [[nodiscard]] CPGRING_HOT bool pending() const noexcept override { return true; }
  [[nodiscard]] bool poll() noexcept override { return false; }
  void sleep(std::optional<base::time_point> until) override;
  [[nodiscard]] int pollable_fd() const noexcept override { return epoll_.get(); }
  void prepare_foreign_wait(std::optional<base::time_point> until, bool at_once) override;
  [[nodiscard]] wakeup kind() const noexcept override { return wakeup::epoll; }
  [[nodiscard]] error why_refused() const override { return why_; }
  inheritance give_up() override { return {}; }  // there is no other backend to change to

 private:
  struct slot_state {
    int fd = -1;
    std::uint64_t* bytes_read = nullptr;
    std::uint32_t generation = 0;
    bool used = false;
    bool armed = false;
    bool watched = false;
    bool hang_up_reported = false;
  };

  wake_epoll() = default;
  result<void> set_up();
  result<void> self_test();
  void refuse(error why);
  slot_state& at(std::uint32_t slot);
  result<void> control(int operation, int fd, std::uint32_t events, std::uint64_t data);
  void take(int timeout_ms, std::optional<base::nanoseconds> timeout);

  base::unique_fd epoll_;
  base::unique_fd timer_;
  std::vector<slot_state> slots_;
  std::vector<completion> early_;  // found while sleeping, reported by the next reap
  bool whole_milliseconds_ =
      false;  // no epoll_pwait2: Linux before 5.11, or a seccomp filter that does not know it
  error why_{errc::unsupported_kernel};
};

}  // namespace cpgring::reactor
