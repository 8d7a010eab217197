// Shared by the programs that call our libcpg.so.4 on a stopped service: `cpgring serve --name cpg` in a
// separate process.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <corosync/cpg.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace stopped {

inline bool failed = false;
inline void complain(const char* what, const char* why) {
  std::printf("FAILED: %s: %s\n", what, why);
  failed = true;
}

/// Runs `cpgring serve --name cpg` as a child process.
class service {
 public:
  explicit service(const char* cpgring) {
    int said[2];
    if (::pipe(said) != 0) {
      std::abort();
    }
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(said[1], STDOUT_FILENO);
      ::execl(cpgring, cpgring, "serve", "--name", "cpg", nullptr);
      ::_exit(127);
    }
    ::close(said[1]);
    char line[64];
    if (::read(said[0], line, sizeof line) <= 0) {
      complain("cpgring serve", "does not start");
    }
  }
  ~service() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  service(const service&) = delete;
  service& operator=(const service&) = delete;
  void stop() const {
    ::kill(pid_, SIGSTOP);
    int status = 0;
    ::waitpid(pid_, &status, WUNTRACED);
  }
  void resume() const { ::kill(pid_, SIGCONT); }

 private:
  pid_t pid_;
};

inline const cpg_name group = [] {
  cpg_name n{};
  n.length = 7;
  std::memcpy(n.value, "stopped", 7);
  return n;
}();

inline cpg_handle_t open_joined(cpg_deliver_fn_t deliver = nullptr) {
  cpg_handle_t h = 0;
  cpg_callbacks_t calls{deliver, nullptr};
  if (cpg_initialize(&h, &calls) != CS_OK || cpg_join(h, &group) != CS_OK) {
    complain("joining", "failed although the service runs");
  }
  pollfd own_view{-1, POLLIN, 0};
  if (cpg_fd_get(h, &own_view.fd) != CS_OK || ::poll(&own_view, 1, 10000) != 1 ||
      cpg_dispatch(h, CS_DISPATCH_ALL) != CS_OK) {
    complain("joining", "the own view does not arrive");
  }
  return h;
}

inline cs_error_t send(cpg_handle_t h, std::size_t size) {
  std::vector<char> text(size, 'x');
  const iovec piece{text.data(), text.size()};
  return cpg_mcast_joined(h, CPG_TYPE_AGREED, &piece, 1);
}

inline bool on_stock() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("libcpg.so") != std::string::npos && line.find(" /usr/lib/") != std::string::npos) {
      return true;
    }
  }
  return false;
}

}  // namespace stopped
