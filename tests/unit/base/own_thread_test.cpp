// Threads of the library handle none of the process's signals.
#include "base/own_thread.hpp"

#include <signal.h>

#include <gtest/gtest.h>

namespace {

TEST(own_thread, blocks_all_signals_except_synchronous_faults) {
  sigset_t inside;
  cpgring::base::start_own_thread([&] { ::pthread_sigmask(SIG_SETMASK, nullptr, &inside); }).join();
  for (const int other : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD, SIGPIPE, SIGRTMIN}) {
    EXPECT_EQ(::sigismember(&inside, other), 1) << other;
  }
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
    EXPECT_EQ(::sigismember(&inside, fault), 0) << fault;
  }
}

TEST(own_thread, keeps_the_signal_mask_of_the_starting_thread) {
  sigset_t set, before, after;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &set, &before);
  cpgring::base::start_own_thread([] {}).join();
  ::pthread_sigmask(SIG_SETMASK, &before, &after);
  EXPECT_EQ(::sigismember(&after, SIGUSR1), 1);
  EXPECT_EQ(::sigismember(&after, SIGUSR2), 0);
}

}  // namespace
