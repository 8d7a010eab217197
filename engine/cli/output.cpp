#include "cli/output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cpgring::cli {

int write_all(int fd, std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const auto written = ::write(fd, bytes.data(), bytes.size());
    if (written > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (written == 0) {
      return EIO;
    } else if (errno == EAGAIN) {
      pollfd on_room{fd, POLLOUT, 0};
      static_cast<void>(::poll(&on_room, 1, -1));
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

std::string stream_failure_text(int number) {
  return number == EBADF ? "it is closed" : std::strerror(number);
}

bool output::write(std::string_view bytes) noexcept {
  if (failure() == 0) {
    fail(write_all(fd_, bytes));
  }
  return failure() == 0;
}

void output::fail(int number) noexcept {
  int none = 0;
  failure_.compare_exchange_strong(none, number, std::memory_order_relaxed);
}

bool output::open_for_writing() const noexcept {
  const int flags = ::fcntl(fd_, F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

void output::close() noexcept {
  if (::close(fd_) != 0 && errno != EINTR) {
    fail(errno);
  }
}

output& standard_output() noexcept {
  static constinit output only(STDOUT_FILENO);
  return only;
}

}  // namespace cpgring::cli
