// SIGINT, SIGTERM and SIGHUP as a call on a thread of its own, so that what it does may be more than a signal handler may.
#pragma once

#include <functional>
#include <thread>

#include <signal.h>

namespace cpgring::cli {

/// From construction to destruction these signals are blocked in this thread and in those it starts, and each makes `call` run (on the
/// watching thread) with how many came so far. Make one before any other thread is there that does not block them. SIGHUP keeps its
/// disposition where it is ignored: who started the program with nohup wants it to outlive the terminal.
class interrupts {
 public:
  explicit interrupts(std::function<void(int count)> call);
  ~interrupts();
  interrupts(const interrupts&) = delete;
  interrupts& operator=(const interrupts&) = delete;

 private:
  void watch() const;

  std::function<void(int count)> call_;
  sigset_t before_{};
  int signals_ = -1;
  int end_ = -1;
  std::thread thread_;
};

}  // namespace cpgring::cli
