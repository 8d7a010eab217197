// Station D1 of 9: from the service, to reactor/reactor.
//
// How a reactor learns that an event arrived: arm a wait, sleep until one completes, say which did. Three ways stand behind this interface:
// wake_uring (on a semaphore, by futex; or on the socket, by receive) and wake_epoll. One thread, but for the wake-up descriptor.
//
// Invariants: I1 between arm() and the completion that is reported for it, whatever the service posts leads to that completion. I2 a
// completion may be spurious: the source is always looked at. I3 after remove() nothing is reported for that token, the kernel holds
// neither descriptor nor memory of it. Modelled in tests/model/arm_wake.pml.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <cpgring/error.hpp>
#include <cpgring/options.hpp>

#include "base/clock.hpp"
#include "base/counter.hpp"
#include "base/owned.hpp"
#include "reactor/source.hpp"

namespace cpgring::reactor {

enum class completion_kind : std::uint8_t { event, answer, hang_up, readable, cross };

struct completion {
  completion_kind kind;
  std::uint32_t slot;
};

struct wake_counters {
  base::counter enters, arms, overflows;
};

class wake_backend {
 public:
  virtual ~wake_backend() = default;

  /// From here on a hang-up of the socket is reported, once.
  virtual result<void> add(std::uint32_t slot, const wake_target& where) = 0;
  virtual void remove(std::uint32_t slot) = 0;
  /// One completion of kind event, as soon as something was posted after the arming or is there already.
  virtual void arm_event(std::uint32_t slot) = 0;
  /// The same for answers; false: this backend cannot wait for them (they have no doorbell).
  virtual bool arm_answer(std::uint32_t slot) = 0;
  /// One completion of kind readable.
  virtual result<void> watch(std::uint32_t slot, int fd) = 0;
  virtual void unwatch(std::uint32_t slot) = 0;

  /// Appends what has completed; does not block; submits what was armed.
  virtual void reap(std::vector<completion>& into) = 0;
  /// A look in user memory: reap() would find something or has something to submit.
  [[nodiscard]] virtual bool pending() const noexcept = 0;
  /// For whoever looks again and again before it sleeps: pending(), but where that can't tell for sure, now and then a system call that
  /// can, and not merely the advice to make one. Always false where nothing in user memory tells.
  [[nodiscard]] virtual bool look() noexcept = 0;
  /// Submits, then sleeps until something completes or `until` has come.
  virtual void sleep(std::optional<base::time_point> until) = 0;

  /// Readable while reap() would find something; see reactor::prepare_foreign_wait.
  [[nodiscard]] virtual int pollable_fd() const noexcept = 0;
  /// Everything armed is submitted; the descriptor gets readable at `until`, or at once.
  virtual void prepare_foreign_wait(std::optional<base::time_point> until, bool at_once) = 0;

  [[nodiscard]] virtual wakeup kind() const noexcept = 0;
  /// The eventfd that wakes the reactor from other threads; reported as `cross`.
  [[nodiscard]] int wake_fd() const noexcept { return wake_fd_.get(); }
  /// May be read by any thread.
  [[nodiscard]] const std::shared_ptr<wake_counters>& counters() const noexcept { return counters_; }

  /// The kernel refuses for good what this stands on: a sandbox that was closed after the start, most likely. Nothing is reported any more,
  /// and sleep() comes back at once.
  [[nodiscard]] bool refused() const noexcept { return refused_; }
  /// What is refused, and the cure. Only when refused().
  [[nodiscard]] virtual error why_refused() const = 0;
  /// What the successor of a refused backend goes on with: outside, both descriptors are known by their numbers.
  struct inheritance {
    base::unique_fd wake_fd;
    base::unique_fd pollable;  // an epoll instance without entries
    std::shared_ptr<wake_counters> counters;
  };
  /// Ends the backend: afterwards the kernel holds no descriptor and no memory of the sources. Only the destructor may follow.
  virtual inheritance give_up() = 0;

 protected:
  base::unique_fd wake_fd_;
  std::shared_ptr<wake_counters> counters_ = std::make_shared<wake_counters>();
  bool refused_ = false;
};

}  // namespace cpgring::reactor
