// engine: one io_uring or epoll loop (a reactor) that dispatches any number of handles.
//
// - One thread drives an engine: the engine's own (start), the caller's (run, dispatch, poll_once), or that
//   of a foreign loop (fd and poll_once). The first of these calls binds the engine to that thread; later
//   calls from other threads fail with errc::wrong_thread or errc::wrong_state.
// - With engine_options::workers, callbacks of handles run on that many further threads. Posted tasks and
//   alarms stay on the driving thread. A dispatch call returns when the callbacks that it handed to workers
//   have run; after stop(), those that have not begun do not run.
// - With engine_options::reactors above 1, the engine has that many loops, each on its own thread; run()
//   drives the first of them on the caller's thread. Each handle belongs to one reactor, and "the driving
//   thread" of a handle is the thread of that reactor. Callbacks of handles of different reactors run at the
//   same time. Posted tasks and alarms run on the first reactor.
//
// An engine has no global state, installs no signal handlers and starts no thread that was not requested.
// Several engines in one process are independent of each other.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <cpgring/function.hpp>
#include <cpgring/handle.hpp>
#include <cpgring/mode.hpp>
#include <cpgring/options.hpp>
#include <cpgring/result.hpp>
#include <cpgring/stats.hpp>

namespace cpgring {

namespace delivery {
struct alarm_state;
}
namespace runtime {
class shard;
class engine_impl;
}  // namespace runtime

/// The capabilities of this machine, as `cpgring probe` prints them.
struct probe_report {
  wakeup backend = wakeup::automatic;  ///< the backend that `automatic` would choose
  std::string ring_setup;              ///< the io_uring set-up that works, or "refused"
  std::vector<std::string> lines;      ///< one finding each, with what to change for a better backend
};

/// While a send_batch exists, multicasts and commits that the driving thread makes outside of callbacks share
/// doorbells (inside a callback they always do).
/// - Messages are sent in groups of up to 32 for each handle. The rest is sent when the batch is destroyed or
///   when the engine is driven, whichever comes first. Keep a batch short: until then messages are not sent.
/// - A batch belongs to the driving thread, and must be destroyed before the engine.
class send_batch {
 public:
  send_batch(send_batch&& other) noexcept;
  send_batch& operator=(send_batch&& other) noexcept;
  ~send_batch();

 private:
  friend class engine;
  explicit send_batch(std::shared_ptr<runtime::shard> core) noexcept;
  std::shared_ptr<runtime::shard> core_;
};

/// The result of engine::shut_down().
struct shutdown_report {
  std::uint64_t handles = 0;  ///< handles that were open
  /// Connections whose service did not confirm before the deadline that it has taken all requests.
  std::uint64_t unanswered = 0;
  std::uint64_t unsent = 0;        ///< multicasts that were accepted but never written to a request ring
  std::uint64_t unsent_bytes = 0;  ///< payload bytes of these
  [[nodiscard]] bool clean() const noexcept { return unanswered == 0 && unsent == 0; }
};

/// Refers to a scheduled task; see engine::after(). The task runs whether or not an object refers to it. Any
/// thread.
class scheduled_task {
 public:
  scheduled_task() noexcept = default;  ///< refers to nothing
  /// Prevents further runs of the task; does nothing after the last run. On the driving thread it takes
  /// effect at once. On another thread it takes effect when the driving thread processes the request, so one
  /// more run may begin. Does not block.
  void cancel() noexcept;

 private:
  friend class engine;
  friend class runtime::shard;
  scheduled_task(std::weak_ptr<runtime::shard> core, std::shared_ptr<delivery::alarm_state> state) noexcept
      : core_(std::move(core)), state_(std::move(state)) {}
  std::weak_ptr<runtime::shard> core_;
  std::shared_ptr<delivery::alarm_state> state_;
};

class engine {
 public:
  /// Checks the options and makes an engine; no descriptor is opened and no thread is started yet. Error:
  /// invalid_param (an option is out of its range).
  [[nodiscard]] static result<engine> create(engine_options options = {});
  /// As create(), but throws std::system_error with the code and text of its error.
  explicit engine(engine_options options = {});
  /// As shut_down(engine_options::close_deadline), without the report. Two exceptions:
  /// - In a child process (after fork) nothing of the parent's is touched. The child's copies of the handles'
  ///   sockets were closed by fork() itself.
  /// - Inside a callback of this engine (which includes exit() called there) it waits for nothing: the engine
  ///   is stopped, and its threads and memory stay until the process ends.
  ~engine();
  /// A move does not affect handles, callbacks or threads. A moved-from engine may only be destroyed or
  /// assigned to. The previous engine of the assigned object is ended as by its destructor.
  engine(engine&& other) noexcept;
  engine& operator=(engine&& other) noexcept;

  /// Opens a handle and returns at once; the handshake proceeds while the engine is driven. on_state reports
  /// `ready`, or `lost` with the reason. Thousands of handles may be opened in a row. Any thread. Errors:
  /// invalid_param, name_too_long, try_again (the intake queue is full), stopped, forked.
  result<handle> open(handle_options options, callbacks calls);
  /// As above, with callbacks that any number of handles share; they are not copied. The first argument of a
  /// callback tells the handle. With workers or several reactors the callbacks run for different handles at
  /// the same time. Null: no callbacks.
  template <class Shared>
  requires(std::is_convertible_v<Shared, std::shared_ptr<const callbacks>> &&
           !std::is_same_v<Shared, std::nullptr_t>) result<handle> open(handle_options options,
                                                                        Shared calls) {
    return open_shared(std::move(options), std::move(calls));
  }

  /// Starts one thread for each reactor; it drives the reactor until stop(). If a forced backend is refused
  /// while the engine runs, the engine stops; the log and the text of errc::stopped of later calls tell the
  /// reason. Errors: wrong_state, unsupported_kernel, stopped, forked, or the system's error if a thread or
  /// an io_uring cannot be created. If this happens to the second reactor or a later one, the engine is
  /// stopped.
  result<void> start();
  /// Drives the engine on the calling thread and returns success after stop(). With one reactor this is
  /// dispatch(mode::blocking). Errors:
  /// - those of start(); stopped, if stop() was called before.
  /// - With one reactor: the error of the last loss, if no further event is possible and no callback saw a
  ///   loss. This requires that every handle is lost for good, none of the lost handles had an on_state
  ///   callback, the engine has no log callback, and no task, alarm or open() is pending.
  result<void> run();
  /// Takes events of all handles, by deficit round robin; see mode.hpp. Blocks only in modes `one` and
  /// `blocking`. Errors:
  /// - try_again: mode one_nonblocking, and no event waits.
  /// - stopped: stop() was called. It also ends a blocked call; a call that has already run callbacks then
  ///   succeeds, and the next one fails.
  /// - wrong_thread; wrong_state: called inside a callback, or the engine has its own thread or several
  ///   reactors.
  /// - in modes `one` and `blocking`: the error of the last loss, under the conditions of run().
  /// - unsupported_kernel, forked.
  result<dispatched> dispatch(mode how, budget limit = {});
  /// dispatch(mode::all, limit); never blocks. For foreign loops: call it when fd() is readable.
  result<dispatched> poll_once(budget limit = {});
  /// A descriptor that is readable while poll_once() has something to do, for poll, epoll or io_uring of a
  /// foreign loop (level-triggered). The engine owns it: do not read, write or close it. Driving thread only.
  result<int> fd();
  /// Ends run(), dispatch() and the engine's own threads; later calls fail with errc::stopped. Any thread and
  /// any callback, any number of times. Does not wait.
  void stop() noexcept;
  [[nodiscard]] bool stopped() const noexcept;

  /// Ends the engine in good order:
  /// - The engine is stopped and its threads end; running callbacks are waited for.
  /// - Everything in the queues is sent, requests of other threads included, and all handles are closed.
  /// - Returns when every service has confirmed that it has taken everything, at the latest after `deadline`
  ///   (clamped to 0..24 h) plus the time of the running callbacks. The report says what was left.
  /// - No further callback runs. Completions without an answer run on the calling thread with errc::stopped,
  ///   confirmations with unknown or not_sent. What they refer to must live that long.
  /// - Other threads may still use handles: their calls are part of this shutdown or refused with
  ///   errc::bad_handle. No other thread may be inside a call of this object. Afterwards every call fails.
  ///
  /// Blocks. Must not be called inside a callback. A second call, and a call in a child process, returns an
  /// empty report.
  shutdown_report shut_down(std::chrono::milliseconds deadline);

  /// Runs `task` on the driving thread, as one event. Any thread; does not block. Errors: try_again (the
  /// intake queue is full), stopped, forked.
  result<void> post(function<void()> task);
  /// Runs `task` once on the driving thread, as one event, not earlier than `delay` from now. Any thread;
  /// does not block. Errors of after(), at() and every(): invalid_param (a negative delay, an interval of 0
  /// or less), try_again (the intake queue is full), stopped, forked.
  result<scheduled_task> after(std::chrono::nanoseconds delay, function<void()> task);
  /// As after(), at a point in time; a time in the past means at once.
  result<scheduled_task> at(std::chrono::steady_clock::time_point when, function<void()> task);
  /// Runs `task` one `interval` from now, two intervals from now and so on, until it is cancelled. Runs whose
  /// time passes while the thread is busy are skipped.
  result<scheduled_task> every(std::chrono::nanoseconds interval, function<void()> task);

  /// Groups multicasts until the batch is destroyed: one system call for up to 32 messages instead of one for
  /// each; see send_batch. On a thread other than the driving one the batch does nothing; the intake queue
  /// groups messages there.
  [[nodiscard]] send_batch batch() noexcept;

  /// The open handles, sorted by id. A handle appears here once its driving thread has processed open(). Any
  /// thread.
  [[nodiscard]] std::vector<handle> handles() const;
  [[nodiscard]] engine_stats stats() const noexcept;
  /// Examines this machine; opens and closes an io_uring for that. Any thread; may block.
  static probe_report probe();

 private:
  explicit engine(std::unique_ptr<runtime::engine_impl> impl) noexcept;
  result<handle> open_shared(handle_options options, std::shared_ptr<const callbacks> calls);
  std::unique_ptr<runtime::engine_impl> impl_;
};

}  // namespace cpgring

#endif
