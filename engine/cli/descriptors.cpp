#include "cli/descriptors.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <initializer_list>

namespace cpgring::cli {

bool open_missing_descriptors() noexcept {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) {
      // open() returns the lowest free number, which is `fd`: all lower ones are open by now.
      if (::open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY) !=
          fd) {  // NOLINT: programs that this one starts must inherit them
        return false;
      }
    }
  }
  return true;
}

}  // namespace cpgring::cli
