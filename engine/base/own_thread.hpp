// Starts the threads of the library.
//
// These threads block all signals except those that a fault of the thread itself raises: a signal that the
// program waits for, or handles on one of its own threads, must not be delivered to a thread of the library.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

namespace cpgring::base {

/// As std::thread(run). Throws std::system_error.
template <class Run>
std::thread start_own_thread(Run&& run) {
  struct without_signals {  // a new thread inherits the signal mask
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
