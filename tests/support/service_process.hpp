// A service in a separate process that a test may stop, continue, kill and restart: `cpgring serve`, or the
// daemon of scripts/with-corosync.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "support/command.hpp"

namespace cpgring::test {

class service_process {
 public:
  /// Returns when the service answers.
  service_process();
  /// Restarts the daemon of scripts/with-corosync, for the next test.
  ~service_process();
  service_process(const service_process&) = delete;
  service_process& operator=(const service_process&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Sends SIGSTOP and returns when every thread of the service has stopped.
  void stop();
  void resume();
  /// Sends SIGKILL and returns when the process has ended.
  void kill();
  [[nodiscard]] pid_t pid() const;
  /// True if the service has ended by itself.
  [[nodiscard]] bool ended() const;
  /// Starts the service after kill(); else does nothing.
  void start();

 private:
  std::string name_;
  std::unique_ptr<child> own_;  // null: corosync
};

}  // namespace cpgring::test
