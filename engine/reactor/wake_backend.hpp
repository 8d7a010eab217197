// Station D1 of 9: from the service, to reactor/reactor.
//
// How a reactor learns that an event arrived: arm a wait, sleep until one completes, report which did.
//
// The implementations are wake_futex (io_uring waits on the semaphore) and wake_epoll. One thread, except for
// the wake-up descriptor. Modelled in tests/model/arm_wake.pml. Invariants:
// - I1 Between an arm call and the completion that is reported for it, every post of the service leads to
//   that completion.
// - I2 A completion may be spurious: the reactor always checks the source.
// - I3 After remove() nothing is reported for that slot, and the kernel holds neither descriptor nor memory
//   of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <cpgring/options.hpp>
#include <cpgring/result.hpp>

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
  /// Requests one completion of kind `event`, as soon as something is posted after this call or is there
  /// already.
  virtual void arm_event(std::uint32_t slot) = 0;
  /// The same for answers. False: this backend cannot wait for them, because they have no doorbell.
  virtual bool arm_answer(std::uint32_t slot) = 0;
  /// Requests one completion of kind `readable`.
  virtual result<void> watch(std::uint32_t slot, int fd) = 0;
  virtual void unwatch(std::uint32_t slot) = 0;

  /// Submits what was armed, and appends what has completed. Does not block.
  virtual void reap(std::vector<completion>& into) = 0;
  /// True if reap() would find something or has something to submit. Reads user memory only.
  [[nodiscard]] virtual bool pending() const noexcept = 0;
  /// For a caller that polls repeatedly before it sleeps. Like pending(), but where user memory does not show
  /// reliably what has completed, it makes a system call now and then. Always false where user memory shows
  /// nothing.
  [[nodiscard]] virtual bool poll() noexcept = 0;
  /// Submits, then sleeps until something completes or the time `until` is reached.
  virtual void sleep(std::optional<base::time_point> until) = 0;

  /// An epoll instance, readable while reap() would find something; see reactor::prepare_foreign_wait.
  [[nodiscard]] virtual int pollable_fd() const noexcept = 0;
  /// Submits what was armed. The descriptor becomes readable at `until`, or at once.
  virtual void prepare_foreign_wait(std::optional<base::time_point> until, bool at_once) = 0;

  [[nodiscard]] virtual wakeup kind() const noexcept = 0;
  /// The eventfd with which other threads wake the reactor; reported as `cross`.
  [[nodiscard]] int wake_fd() const noexcept { return wake_fd_.get(); }
  /// May be read by any thread.
  [[nodiscard]] const std::shared_ptr<wake_counters>& counters() const noexcept { return counters_; }

  /// True if the kernel refuses for good what this backend needs, probably because of a sandbox that was set
  /// up later. Nothing is reported any more, and sleep() returns at once.
  [[nodiscard]] bool refused() const noexcept { return refused_; }
  /// The refused call, and the remedy. Only when refused().
  [[nodiscard]] virtual error why_refused() const = 0;
  /// The resources that the successor of a refused backend takes over. Both descriptors keep their numbers,
  /// because others know them.
  struct inheritance {
    base::unique_fd wake_fd;
    base::unique_fd pollable;  // an epoll instance without entries
    std::shared_ptr<wake_counters> counters;
  };
  /// Ends the backend: afterwards the kernel holds no descriptor and no memory of the sources. Only the
  /// destructor may follow.
  virtual inheritance give_up() = 0;

 protected:
  base::unique_fd wake_fd_;
  std::shared_ptr<wake_counters> counters_ = std::make_shared<wake_counters>();
  bool refused_ = false;
};

}  // namespace cpgring::reactor
