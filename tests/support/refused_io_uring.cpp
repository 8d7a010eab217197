#include "support/refused_io_uring.hpp"

#include <seccomp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <exception>

namespace cpgring::test {

bool refuse_io_uring(io_uring_call which, int errno_value) {
  const int number = which == io_uring_call::setup   ? SCMP_SYS(io_uring_setup)
                     : which == io_uring_call::enter ? SCMP_SYS(io_uring_enter)
                                                     : SCMP_SYS(io_uring_register);
  scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ALLOW);
  const bool ok =
      filter != nullptr && ::seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
      ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(static_cast<std::uint16_t>(errno_value)), number, 0) == 0 &&
      ::seccomp_load(filter) == 0;
  ::seccomp_release(filter);
  return ok;
}

std::string with_io_uring_refused(int errno_value, const std::function<std::string()>& body,
                                  io_uring_call which) {
  return in_a_child([&] {
    return refuse_io_uring(which, errno_value) ? body() : std::string("the filter was not installed");
  });
}

std::string in_a_child(const std::function<std::string()>& body) {
  int pipe[2];
  if (::pipe(pipe) != 0) {
    return "no pipe";
  }
  const pid_t child = ::fork();
  if (child == 0) {
    std::string outcome;
    try {
      outcome = body();
    } catch (const std::exception& e) {
      outcome = e.what();
    }
    [[maybe_unused]] const auto written = ::write(pipe[1], outcome.data(), outcome.size());
    ::_exit(0);
  }
  ::close(pipe[1]);
  std::string outcome;
  char part[4096];
  for (;;) {
    const ssize_t n = ::read(pipe[0], part, sizeof part);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      break;
    }
    outcome.append(part, static_cast<std::size_t>(n));
  }
  ::close(pipe[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? outcome
                                                       : "the child died, status " + std::to_string(status);
}

}  // namespace cpgring::test
