// Station D2 of 9: from reactor/wake_backend, to runtime/link.
//
// The event loop of one thread: completions are reaped into a list, then sources get their turns, then the
// thread rests.
//
// A source is either armed (one wait is pending, its ring is not polled) or active (its ring is polled in
// each round, no wait is pending). A completion makes it active; rest() arms quiet sources. Only the thread
// that made the reactor uses it, except for wake(). Invariants:
// - I1 User code never runs inside reap().
// - I2 After a wait is armed, the source is checked once more before the thread sleeps.
// - I3 No source gets more than its quantum while others wait (deficit round robin).
// - I4 A removed source is not touched again, even if it is removed in its own turn.
#pragma once

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <cpgring/log.hpp>
#include <cpgring/options.hpp>
#include <cpgring/result.hpp>

#include "base/clock.hpp"
#include "base/counter.hpp"
#include "base/idle_policy.hpp"
#include "base/sleep_flag.hpp"
#include "reactor/source.hpp"
#include "reactor/timer_queue.hpp"
#include "reactor/wake_backend.hpp"

namespace cpgring::reactor {

struct reactor_options {
  wakeup backend = wakeup::automatic;
  idle idle_strategy = idle::adaptive;
  double idle_cpu_share = 0.1;
  std::uint32_t expected_sources = 1024;
  std::uint32_t polling_max = 64;
  std::uint32_t quantum_bytes = 65536;
  log_callback log;
  base::shard_clock* clock = nullptr;  // outlives the reactor; null: a clock of its own
};

struct serve_limits {
  std::uint32_t events = UINT32_MAX;
  std::uint64_t bytes = UINT64_MAX;
  std::optional<base::time_point> until;
  std::uint64_t pass = 0;
  source* only = nullptr;  // serve only this source
};

struct served {
  std::uint32_t events = 0;
  std::uint64_t bytes = 0;
  bool more = false;  // a source has events left (of the pass, if there is one)
};

/// Requests of other threads: taken at the end of each reap(). `pending` is checked before each sleep.
struct intake {
  void* context = nullptr;
  bool (*take)(void*) = nullptr;
  bool (*pending)(void*) noexcept = nullptr;
};

struct reactor_counters {
  base::counter turns, wakeups, sleeps;
};

class reactor {
 public:
  /// Most events in one turn, so that a turn is short whatever its bytes.
  static constexpr std::uint32_t turn_events_max = 256;

  /// Errors: unsupported_kernel (a forced backend), no_descriptors, no_memory.
  static result<std::unique_ptr<reactor>> create(reactor_options options);
  ~reactor();

  result<void> add(source& what);
  void remove(source& what);
  /// Gives the source a turn in the next round.
  void mark_ready(source& what);
  result<void> watch(watcher& who, int fd);
  void unwatch(watcher& who);
  void schedule(timer& which, base::time_point at) { timers_.schedule(which, at); }
  void cancel(timer& which) noexcept { timers_.cancel(which); }
  void set_intake(intake from) noexcept { intake_ = from; }

  /// Processes completions, due timers, watchers and the intake. Does not block.
  void reap();
  /// Runs one round over the active sources.
  served serve(const serve_limits& limits);
  /// Call it when nothing was found: polls, arms and sleeps as the idle strategy says, at most until `until`.
  /// - `only`: events of other sources do not keep the thread awake.
  /// - `soon`: something is known to arrive soon; `adaptive` judges such waits by a history of their own.
  void rest(base::time_point until, const source* only = nullptr, bool soon = false);
  /// Any thread. Makes a system call only if the reactor sleeps.
  void wake() noexcept;

  [[nodiscard]] int pollable_fd() const noexcept { return backend_->pollable_fd(); }
  /// Call it before a foreign loop polls pollable_fd(): arms all sources and sets the timer. Remaining work
  /// makes the descriptor readable.
  void prepare_foreign_wait();
  /// The time of the last reap().
  [[nodiscard]] base::time_point now() const noexcept { return clock_.now(); }
  [[nodiscard]] wakeup backend() const noexcept { return backend_->kind(); }
  [[nodiscard]] const reactor_counters& counters() const noexcept { return counters_; }
  /// Any thread.
  [[nodiscard]] const wake_counters& backend_counters() const noexcept { return *backend_counters_; }

  /// True if the kernel refuses the backend since it was chosen: nothing is reported any more. Check it once
  /// a turn.
  [[nodiscard]] bool refused() const noexcept { return backend_->refused(); }
  /// Changes to epoll, unless another backend is forced. Sources, watchers and both descriptors stay. Errors:
  /// unsupported_kernel, with what is refused and the remedy.
  result<void> fall_back();

 private:
  struct slot {
    source* what = nullptr;
    watcher* who = nullptr;
    int watched_fd = -1;
  };
  reactor(reactor_options options, std::unique_ptr<wake_backend> backend);

  std::uint32_t take_slot();
  void give_slot(std::uint32_t index);
  void activate(source& what) noexcept;
  void complete(const completion& one);
  bool arm(source& what);
  bool arm_quiet(const source* only);
  bool poll_before_sleep(base::time_point began, base::time_point until, const source* only, bool soon);
  [[nodiscard]] bool any_ready(const source* only) const noexcept;
  void serve_one(source& what, const serve_limits& limits, served& done);
  [[nodiscard]] std::optional<base::time_point> wake_time(base::time_point until) const noexcept;

  const reactor_options options_;
  std::unique_ptr<wake_backend> backend_;
  const int wake_fd_;  // the same for every backend of this reactor
  const std::shared_ptr<wake_counters> backend_counters_;
  base::idle_policy idle_;
  timer_queue timers_;
  intake intake_;
  std::vector<slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<completion> completions_;
  boost::intrusive::list<source, source::active_list_option> active_;
  source* in_turn_ = nullptr;  // null again if it is removed in its turn
  base::shard_clock own_clock_;
  base::shard_clock& clock_;
  base::nanoseconds answer_pause_{0};  // longest sleep while an answer that nothing announces is expected
  bool answers_polled_ = false;
  reactor_counters counters_;
  base::sleep_flag sleeping_;
};

}  // namespace cpgring::reactor
