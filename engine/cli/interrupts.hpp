// Delivers SIGINT, SIGTERM and SIGHUP as a call on a separate thread, which may do more than a signal handler
// may.
#pragma once

#include <functional>
#include <thread>

#include <signal.h>

namespace cpgring::cli {

/// While an object lives, these signals are blocked in the thread that created it and in the threads that
/// this one starts. Each signal runs `call` on the watching thread, with the number of signals so far. Create
/// it before any thread that does not block these signals. An ignored SIGHUP stays ignored: a program started
/// by nohup must outlive its terminal.
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
