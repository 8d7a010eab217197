// A service in a process of its own that a test may stop, let go on, kill and start again: `cpgring serve`, or under scripts/with-corosync
// the daemon there.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "support/command.hpp"

namespace cpgring::test {

class service_process {
 public:
  /// It answers when this returns.
  service_process();
  /// The daemon of scripts/with-corosync runs again, for whoever comes next.
  ~service_process();
  service_process(const service_process&) = delete;
  service_process& operator=(const service_process&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// SIGSTOP; when it returns no thread of it runs any more.
  void stop();
  void go_on();
  /// SIGKILL; when it returns it is gone.
  void kill();
  [[nodiscard]] pid_t pid() const;
  /// It has gone without being told to.
  [[nodiscard]] bool ended() const;
  /// Does nothing unless it was killed.
  void start();

 private:
  std::string name_;
  std::unique_ptr<child> own_;  // null: corosync
};

}  // namespace cpgring::test
