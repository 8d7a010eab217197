// Starts the threads of the library.
//
// They take none of the process's signals: a program that blocks a signal to wait for it, or whose handler belongs on one of its own
// threads, must not meet it on one of ours. Signals that a fault of the thread itself raises can't be left to others and stay as they are.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

namespace cpgring::base {

/// As std::thread(run). Throws std::system_error.
template <class Run>
std::thread start_own_thread(Run&& run) {
  struct without_signals {  // a new thread inherits the mask
    without_signals() noexcept {
      sigset_t all;
      ::sigfillset(&all);
      for (const int fault : {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP}) {
        ::sigdelset(&all, fault);
      }
      ::pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    ~without_signals() { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); }
    without_signals(const without_signals&) = delete;
    without_signals& operator=(const without_signals&) = delete;
    sigset_t before{};
  } const mask;
  return std::thread(std::forward<Run>(run));
}

}  // namespace cpgring::base
