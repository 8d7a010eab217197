// engine: one io_uring (or epoll) loop that dispatches any number of handles.
//
// One thread drives an engine: its own (start), the caller's (run, dispatch, poll_once), or a foreign loop's (fd + poll_once). The first of
// these calls decides which thread that is; from then on the others fail with errc::wrong_thread or errc::wrong_state.
// With engine_options::workers callbacks of handles run on so many threads beside it; posted tasks and alarms stay on the driving one. A
// dispatch call returns when the callbacks that it handed over have run, stop() apart: what then still waits is not run.
// With engine_options::reactors above 1 an engine has so many loops, each on a thread of its own (run() drives the first of them on the
// caller's). Each looks after its own handles: callbacks of handles of different reactors run at the same time, "the driving thread" of a
// handle is its reactor's, that of posted tasks and alarms the first one's.
// No global state, no signal handlers, no thread that was not asked for. Several engines in one process do not know each other.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <cpgring/error.hpp>
#include <cpgring/handle.hpp>
#include <cpgring/mode.hpp>
#include <cpgring/options.hpp>
#include <cpgring/stats.hpp>

namespace cpgring {

namespace runtime {
class engine_core;
class fleet;
}  // namespace runtime

/// What this machine offers, as `cpgring probe` prints it.
struct probe_report {
  wakeup backend = wakeup::automatic;  ///< what `automatic` would choose
  std::string ring_setup;              ///< the io_uring set-up that works, or "refused"
  std::vector<std::string> lines;      ///< one finding each; what to change for a better rung included
};

/// While it lives, the multicasts and commits that the driving thread makes outside of callbacks share doorbells: they are sent in groups
/// of up to 32 messages a handle, the last of them when it goes or when the engine is driven, whichever comes first. Inside a callback that
/// is so anyway. Belongs to the thread that drives the engine; not after the engine's end. Keep it short: what waits in it is not sent.
class send_batch {
 public:
  send_batch(send_batch&& other) noexcept;
  send_batch& operator=(send_batch&& other) noexcept;
  ~send_batch();

 private:
  friend class engine;
  explicit send_batch(std::shared_ptr<runtime::engine_core> core) noexcept;
  std::shared_ptr<runtime::engine_core> core_;
};

/// What engine::shut_down() leaves behind.
struct shutdown_report {
  std::uint64_t handles = 0;       ///< that were open
  std::uint64_t unanswered = 0;    ///< of these: their service did not say in time that it has taken what was written for it
  std::uint64_t unsent = 0;        ///< multicasts that had been accepted, and were never written for a service
  std::uint64_t unsent_bytes = 0;  ///< payload of these
  [[nodiscard]] bool clean() const noexcept { return unanswered == 0 && unsent == 0; }
};

class engine {
 public:
  /// Throws std::system_error (errc::invalid_param) for an option out of its range. Opens nothing yet.
  explicit engine(engine_options options = {});
  /// As shut_down(close_deadline), without a report. In a child process (fork) it touches nothing of the parent's; the child's copies of
  /// the handles' sockets are closed by fork() itself. Inside one of this engine's own callbacks, exit() of the process included, it
  /// waits for nothing: the engine is stopped, its threads and memory are kept until the process ends.
  ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// Opens a handle: returns at once, the handshake goes on while the engine is driven; on_state tells ready or lost (with the reason).
  /// Thousands may be opened one after the other. Any thread. Errors: invalid_param, stopped, forked.
  result<handle> open(handle_options options, callbacks calls);

  /// Starts a thread of the engine's own for each reactor, which drives it until stop(). Where a forced backend is refused later the engine
  /// stops: the log says why, and so does the text of errc::stopped, in later calls. Errors: wrong_state, unsupported_kernel, stopped,
  /// and what the system says where a thread or an io_uring is one too many: with several reactors the engine is stopped then.
  result<void> start();
  /// Drives the engine on this thread until stop(); then success. With one reactor the same as dispatch(mode::blocking). Errors: as
  /// start(), and with one reactor the error of the last loss, when every handle has been lost for good, none of these had an on_state, the
  /// engine has no log callback, and no task, alarm or open() waits: nothing could come any more, and nobody would know why.
  result<void> run();
  /// Takes events of all handles, fairly. See mode.hpp. Blocks only in modes `one` and `blocking`. Errors: try_again (one_nonblocking,
  /// nothing waits), stopped (also ends a blocked call, within 10 ms; a call that had run callbacks by then succeeds, and the next fails),
  /// wrong_thread, wrong_state (inside a callback, the engine has its own thread, or several reactors), unsupported_kernel, forked.
  result<dispatched> dispatch(mode how, budget limit = {});
  /// dispatch(mode::all, limit), never blocks; for foreign loops: call it when fd() is readable.
  result<dispatched> poll_once(budget limit = {});
  /// One descriptor that is readable while poll_once() has something to do; for poll, epoll or io_uring of a foreign loop. Level-triggered
  /// use. Belongs to the engine: don't read, write or close it. Call it on the driving thread.
  result<int> fd();
  /// Ends run(), dispatch() and the own thread; later ones fail with errc::stopped. Any thread, any callback, any number of times; does not
  /// wait.
  void stop() noexcept;
  [[nodiscard]] bool stopped() const noexcept;

  /// The orderly end: stops the engine, ends its threads (which waits for the callbacks that run at that moment), sends what still waits in
  /// queues, other threads' included, and closes all handles; returns when every service has answered that it has taken everything, at the
  /// latest after `deadline` (0 to a day) and what those callbacks take. The report says what was left. Callbacks no longer run, but
  /// completions of what has had no answer yet do, on the calling thread: errc::stopped; multicasts as unknown or not_sent. So what they
  /// refer to has to live as long. Afterwards every call fails. Blocks. Not inside a callback. No other thread may be inside a call of this
  /// object; handles may be used meanwhile: what they accept is part of the end, later calls are refused with errc::bad_handle. A second
  /// time, and in a child process: an empty report.
  shutdown_report shut_down(std::chrono::milliseconds deadline);

  /// Runs `task` on the driving thread, as one event. Any thread. Errors: try_again (intake full), stopped, forked.
  result<void> post(std::function<void()> task);
  /// Runs `task` once, `delay` from now or a little later, on the driving thread, as one event. Any thread.
  result<void> after(std::chrono::nanoseconds delay, std::function<void()> task);

  /// Groups what is multicast until the batch goes: one system call for up to 32 messages instead of one each. See send_batch. On another
  /// thread than the driving one it does nothing: there the intake queue groups.
  [[nodiscard]] send_batch batch() noexcept;

  [[nodiscard]] engine_stats stats() const noexcept;
  /// Probes this machine; opens and closes an io_uring. Any thread.
  static probe_report probe();

 private:
  std::unique_ptr<runtime::fleet> fleet_;
};

}  // namespace cpgring
