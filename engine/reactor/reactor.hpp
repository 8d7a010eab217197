// Station D2 of 9: from reactor/wake_backend, to ipc/ring_reader.
//
// One thread's loop: completions are reaped into lists, then sources get their turns, then the thread rests. A source is either armed (one
// wait pending, its ring not looked at) or active (its ring looked at in each round, no wait pending). A completion makes it active; rest()
// arms those that were quiet.
//
// Invariants: I1 user code never runs inside reap(). I2 after a wait is armed the source is looked at once more before the thread sleeps.
// I3 no source gets more than its quantum while others wait (deficit round robin). I4 a removed source is not touched again, even if it is
// removed in its own turn. Everything is for the thread that created it, but for wake().
#pragma once

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <cpgring/error.hpp>
#include <cpgring/log.hpp>
#include <cpgring/options.hpp>

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
  std::uint32_t expected_sources = 1024;
  std::uint32_t polling_max = 64;
  std::uint32_t quantum_bytes = 65536;
  log_callback log;
};

struct serve_limits {
  std::uint32_t events = UINT32_MAX;
  std::uint64_t bytes = UINT64_MAX;
  std::optional<base::time_point> until;
  std::uint64_t pass = 0;
  source* only = nullptr;  // serve this one alone
};

struct served {
  std::uint32_t events = 0;
  std::uint64_t bytes = 0;
  bool more = false;  // some source has something left (within the pass, if there is one)
};

/// Requests of other threads: taken at the end of each reap(); `pending` is looked at before each sleep.
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
  /// Events that one turn takes at most, so that a turn is short whatever its bytes.
  static constexpr std::uint32_t turn_events_max = 256;

  /// Errors: unsupported_kernel (a forced backend), no_descriptors, no_memory.
  static result<std::unique_ptr<reactor>> create(reactor_options options);
  ~reactor();

  result<void> add(source& what);
  void remove(source& what);
  /// Gives it a turn in the next round.
  void mark_ready(source& what);
  result<void> watch(watcher& who, int fd);
  void unwatch(watcher& who);
  void schedule(timer& which, base::time_point at) { timers_.schedule(which, at); }
  void cancel(timer& which) noexcept { timers_.cancel(which); }
  void set_intake(intake from) noexcept { intake_ = from; }

  /// Takes completions, due timers, watchers, the intake. Does not block.
  void reap();
  /// One round over the active sources.
  served serve(const serve_limits& limits);
  /// Nothing was there: look a little, arm, sleep; as the idle strategy says. With `only` the others' events are no reason to stay awake.
  /// `soon`: what is waited for is known to be under way; `adaptive` looks as long as a wake-up costs then, whatever it has learnt.
  void rest(base::time_point until, const source* only = nullptr, bool soon = false);
  /// From any thread; a system call only if the reactor sleeps.
  void wake() noexcept;

  [[nodiscard]] int pollable_fd() const noexcept { return backend_->pollable_fd(); }
  /// Before a foreign loop polls pollable_fd(): all armed, timers set, leftovers make it readable.
  void prepare_foreign_wait();
  /// The time as of the last reap().
  [[nodiscard]] base::time_point now() const noexcept { return now_; }
  [[nodiscard]] wakeup backend() const noexcept { return backend_->kind(); }
  [[nodiscard]] const reactor_counters& counters() const noexcept { return counters_; }
  /// Any thread.
  [[nodiscard]] const wake_counters& backend_counters() const noexcept { return *backend_counters_; }

  /// What the backend stands on is refused since it was chosen: nothing is reported any more. To be looked at once a turn.
  [[nodiscard]] bool refused() const noexcept { return backend_->refused(); }
  /// Goes on with epoll where any backend would do: sources, watchers and both descriptors stay. Errors: unsupported_kernel, with what is
  /// refused and the cure.
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
  bool look_a_while(base::time_point began, base::time_point until, const source* only, bool soon);
  [[nodiscard]] bool something_waits(const source* only) const noexcept;
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
  source* in_turn_ = nullptr;  // reset when it is removed in its turn
  base::time_point now_;
  base::nanoseconds answer_pause_{0};  // how long to sleep while an answer is expected that nothing announces
  bool answers_unannounced_ = false;
  reactor_counters counters_;
  base::sleep_flag sleeping_;
};

}  // namespace cpgring::reactor
