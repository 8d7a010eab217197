// What a reactor serves, waits for and calls: sources, watchers, timers.
//
// A source is something with a semaphore in shared memory and a socket of doorbell bytes; what its events mean is its own affair. All calls
// come on the reactor's thread.
#pragma once

#include <boost/intrusive/list_hook.hpp>
#include <boost/intrusive/set_hook.hpp>
#include <cstddef>
#include <cstdint>

#include "base/clock.hpp"

namespace cpgring::reactor {

struct turn_budget {
  std::uint32_t events = 0;
  std::uint64_t bytes = 0;
  std::uint64_t pass = 0;  // not 0: take at most what waited when this pass came by first
};

struct turn_result {
  std::uint32_t events = 0;
  std::uint64_t bytes = 0;
  bool more = false;  // something is still there (that belongs to the pass, if there is one)
};

/// Where a source's events announce themselves. Both semaphores are 64-bit words: value below, waiters above. Nothing here: the source is
/// never waited for, only marked ready.
struct wake_target {
  std::uint64_t* events = nullptr;   // posted for each event; a doorbell byte follows on the socket
  std::uint64_t* answers = nullptr;  // posted for each answer; no byte follows
  int fd = -1;
  std::uint64_t* bytes_read = nullptr;  // not null: a backend that reads the socket adds the number of bytes
};

class reactor;

using list_hook = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>>;

class source {
 public:
  source() = default;
  source(const source&) = delete;
  source& operator=(const source&) = delete;
  virtual ~source() = default;

  /// Takes events within the budget. May remove this or any other source.
  virtual turn_result turn(const turn_budget& budget) = 0;
  /// The second look: something is there to take. Cheap; called often.
  [[nodiscard]] virtual bool waiting() const noexcept = 0;
  /// The other side of the socket is gone; a turn follows.
  virtual void hung_up() = 0;

  // Before the source is added:
  void target(const wake_target& where) noexcept { target_ = where; }
  void set_weight(std::uint32_t weight) noexcept { weight_ = weight; }
  /// Any time: it can take nothing now, whatever its ring holds, so no wait is armed for it; mark_ready() brings it back.
  void pause(bool yes) noexcept { paused_ = yes; }
  /// Any time: answers are expected, so `answers` is waited for as well.
  void expects_answers(bool yes) noexcept { expects_answers_ = yes; }

 private:
  friend class reactor;

  static constexpr std::uint32_t no_slot = UINT32_MAX;

  wake_target target_;
  list_hook active_hook_;
  std::uint32_t slot_ = no_slot;
  std::uint32_t weight_ = 1;
  std::int64_t deficit_ = 0;    // bytes it may take; below 0: one event was larger than that, and is paid back first
  std::uint32_t quiet_ = 0;     // looks in a row that found nothing
  bool events_armed_ = false;   // a wait for an event is pending
  bool answers_armed_ = false;  // a wait for an answer is pending
  bool expects_answers_ = false;
  bool paused_ = false;
  bool has_work_ = false;  // a turn is due whatever waiting() says

 public:
  using active_list_option = boost::intrusive::member_hook<source, list_hook, &source::active_hook_>;
};

/// Told once that a descriptor is readable (or hung up).
class watcher {
 public:
  virtual ~watcher() = default;
  virtual void readable() = 0;

 private:
  friend class reactor;
  std::uint32_t slot_ = UINT32_MAX;
};

/// Told once that its time has come.
class timer {
 public:
  virtual ~timer() = default;
  virtual void expired() = 0;

 private:
  friend class timer_queue;
  friend struct earlier;
  boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>> hook_;
  base::time_point at_;

 public:
  using queue_option = boost::intrusive::member_hook<timer, decltype(hook_), &timer::hook_>;
};

}  // namespace cpgring::reactor
