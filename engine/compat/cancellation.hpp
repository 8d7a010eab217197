// Handles pthread_cancel() of a thread that is inside a call of this library.
//
// A call holds locks and half-written requests at places where a thread could be cancelled. Cancellation is
// therefore disabled inside a call, and enabled again only where the call waits with nothing half done. A
// thread that is cancelled there ends at once: unwinding releases what it held, the handle stays usable, and
// a request whose answer it waited for stays outstanding. Cancellation that the caller had disabled stays
// disabled.
#pragma once

#include <pthread.h>

#include <thread>

namespace cpgring::compat {

/// Disables cancellation of this thread while it lives. The destructor may unwind, if the caller has enabled
/// asynchronous cancellation.
class uncancelled {
 public:
  uncancelled() noexcept {
    ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_);
    wanted = wanted || before_ == PTHREAD_CANCEL_ENABLE;
  }
  ~uncancelled() noexcept(false) {
    if (before_ == PTHREAD_CANCEL_ENABLE) {
      wanted = false;
      ::pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
    }
  }
  uncancelled(const uncancelled&) = delete;
  uncancelled& operator=(const uncancelled&) = delete;

  /// Inside an `uncancelled`: true if the caller had cancellation enabled.
  static inline constinit thread_local bool wanted = false;

 private:
  int before_ = PTHREAD_CANCEL_ENABLE;
};

/// Runs `wait`, inside an `uncancelled`, as a cancellation point. `wait` need not be a cancellation point
/// itself, but a signal must end it.
template <class Wait>
void cancellably(Wait&& wait) {
  struct window {
    window() { set(PTHREAD_CANCEL_ENABLE); }
    ~window() noexcept(false) { set(PTHREAD_CANCEL_DISABLE); }
    static void set(int state) {
      if (uncancelled::wanted) {
        ::pthread_setcancelstate(state, nullptr);
      }
    }
  } const open;
  wait();
  ::pthread_testcancel();
}

/// Sleeps; a cancellation point.
template <class Duration>
void pause_for(Duration pause) {
  cancellably([pause] { std::this_thread::sleep_for(pause); });
}

}  // namespace cpgring::compat
