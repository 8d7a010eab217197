// pthread_cancel() of a thread that is inside a call of ours.
//
// A call holds locks and half-written requests at places where a thread could be cancelled, so cancellation is off inside of it, and on
// again where it waits with nothing half done. There the thread ends at once: what it held is released by unwinding, the handle stays
// usable, and a request whose answer it waited for stays asked. What the caller had switched off stays off.
#pragma once

#include <pthread.h>

namespace cpgring::compat {

/// No cancellation of this thread while it lives. Its end may unwind: where the caller wants to be cancelled asynchronously.
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

  /// Inside an uncancelled: the caller had it on.
  static inline constinit thread_local bool wanted = false;

 private:
  int before_ = PTHREAD_CANCEL_ENABLE;
};

/// Runs `wait`, inside an uncancelled, as a place where the thread may be cancelled; also where `wait` is none by itself, as long as a
/// signal ends it.
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

}  // namespace cpgring::compat
