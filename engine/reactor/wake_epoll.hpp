// Waiting without io_uring, where that is refused: the same contract on epoll.
//
// Edge-triggered: every byte that arrives is an edge, so a source that is being polled needs no system call to stop waiting. Arming empties
// the socket (a full one gives no edge) and is followed by the reactor's second look.
#pragma once

#include <memory>
#include <vector>

#include "reactor/wake_backend.hpp"

namespace cpgring::reactor {

class wake_epoll final : public wake_backend {
 public:
  /// Tried with a real event before it is handed out. Errors: unsupported_kernel (a system call is refused), no_descriptors.
  static result<std::unique_ptr<wake_epoll>> create();
  /// In the place of a backend that is refused: under the same descriptor numbers. Where that can't be, it is refused as well.
  static std::unique_ptr<wake_epoll> succeed(inheritance from);

  result<void> add(std::uint32_t slot, const wake_target& where) override;
  void remove(std::uint32_t slot) override;
  void arm_event(std::uint32_t slot) override;
  bool arm_answer(std::uint32_t) override { return false; }
  result<void> watch(std::uint32_t slot, int fd) override;
  void unwatch(std::uint32_t slot) override;
  void reap(std::vector<completion>& into) override;
  /// Nothing in user memory tells; one look in the kernel for each reap.
  [[nodiscard]] bool pending() const noexcept override { return true; }
  [[nodiscard]] bool look() noexcept override { return false; }
  void sleep(std::optional<base::time_point> until) override;
  [[nodiscard]] int pollable_fd() const noexcept override { return epoll_.get(); }
  void prepare_foreign_wait(std::optional<base::time_point> until, bool at_once) override;
  [[nodiscard]] wakeup kind() const noexcept override { return wakeup::epoll; }
  [[nodiscard]] error why_refused() const override { return why_; }
  inheritance give_up() override { return {}; }  // nothing could succeed it

 private:
  struct slot_state {
    int fd = -1;
    std::uint64_t* bytes_read = nullptr;
    std::uint32_t generation = 0;
    bool used = false;
    bool armed = false;
    bool watched = false;
    bool hang_up_told = false;
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
  std::vector<completion> early_;    // found while sleeping, reported by the next reap
  bool whole_milliseconds_ = false;  // no epoll_pwait2: Linux before 5.11, or a seccomp filter that is older
  error why_{errc::unsupported_kernel};
};

}  // namespace cpgring::reactor
