// The interfaces that a reactor calls: sources, watchers, timers.
//
// A source has a semaphore in shared memory and a socket with doorbell bytes. The reactor knows nothing of
// the meaning of its events. All calls come on the reactor's thread.
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
  /// Non-zero: id of a bounded pass. Take only events that already waited when this pass first served the
  /// source.
  std::uint64_t pass = 0;
};

struct turn_result {
  std::uint32_t events = 0;
  std::uint64_t bytes = 0;
  bool more = false;  // events are left (of the pass, if there is one)
};

/// Where the events of a source are announced. A semaphore is a 64-bit word: value in the low half, waiters
/// in the high half. Without a semaphore and a descriptor the source is never waited for, only marked ready.
struct wake_target {
  /// Posted for each event; a doorbell byte follows on the socket. Null: only the socket announces events,
  /// and the source reads its bytes.
  std::uint64_t* events = nullptr;
  std::uint64_t* answers = nullptr;  // posted for each answer; no byte follows
  int fd = -1;
  /// If not null, a backend that reads the socket adds the number of bytes.
  std::uint64_t* bytes_read = nullptr;
};

class reactor;

using list_hook =
    boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>>;

class source {
 public:
  source() = default;
  source(const source&) = delete;
  source& operator=(const source&) = delete;
  virtual ~source() = default;

  /// Takes events within the budget. May remove this source or any other.
  virtual turn_result turn(const turn_budget& budget) = 0;
  /// True if there is something to take. Cheap, and called often; also used for the second check after
  /// arming.
  [[nodiscard]] virtual bool waiting() const noexcept = 0;
  /// The other side has closed the socket; a turn follows.
  virtual void hung_up() = 0;

  // Before the source is added:
  void target(const wake_target& where) noexcept { target_ = where; }
  void set_weight(std::uint32_t weight) noexcept { weight_ = weight; }
  /// Any time. True: the source can take nothing now, whatever its ring holds, so no wait for events is armed
  /// until mark_ready().
  void pause(bool yes) noexcept { paused_ = yes; }
  /// Any time. True: `answers` is waited for as well.
  void expects_answers(bool yes) noexcept { expects_answers_ = yes; }

 private:
  friend class reactor;

  static constexpr std::uint32_t no_slot = UINT32_MAX;

  wake_target target_;
  list_hook active_hook_;
  std::uint32_t slot_ = no_slot;
  std::uint32_t weight_ = 1;
  std::int64_t deficit_ = 0;  // bytes that it may take; negative: bytes it took too many, and pays back first
  std::uint32_t quiet_ = 0;   // rounds in a row in which nothing was found
  bool events_armed_ = false;   // a wait for an event is pending
  bool answers_armed_ = false;  // a wait for an answer is pending
  bool expects_answers_ = false;
  bool paused_ = false;
  bool has_work_ = false;  // a turn is due, whatever waiting() returns

 public:
  using active_list_option = boost::intrusive::member_hook<source, list_hook, &source::active_hook_>;
};

/// Called once when a descriptor is readable or hung up.
class watcher {
 public:
  virtual ~watcher() = default;
  virtual void readable() = 0;

 private:
  friend class reactor;
  std::uint32_t slot_ = UINT32_MAX;
};

/// expired() is called once, at or after the time that it was scheduled for.
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
