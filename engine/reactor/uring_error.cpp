// The errors of setting up and entering an io_uring: for each errno its meaning here, and the remedy.
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include "base/limits.hpp"
#include "reactor/uring.hpp"

namespace cpgring::reactor {
namespace {

constexpr std::size_t ring_bytes_usual = std::size_t{256} << 10;

std::string sysctl_io_uring_disabled() {
  std::ifstream file("/proc/sys/kernel/io_uring_disabled");
  std::string value;
  return file >> value ? value : "not present";
}

}  // namespace

error uring_refused(int errno_value) {
  switch (errno_value) {
    case EPERM:
      return {
          errc::unsupported_kernel,
          fmt::format("io_uring is refused (EPERM): a seccomp filter (containers' default) or the sysctl "
                      "kernel.io_uring_disabled (now {}); "
                      "allow io_uring_setup, io_uring_enter and io_uring_register, or set the sysctl to 0",
                      sysctl_io_uring_disabled())};
    case ENOSYS:
      return {errc::unsupported_kernel,
              "io_uring is missing (ENOSYS): a kernel without it, or a seccomp filter that hides it; allow "
              "io_uring_setup, "
              "io_uring_enter and "
              "io_uring_register"};
    case EMFILE:
    case ENFILE:
      return {errc::no_descriptors, "out of file descriptors for an io_uring; raise RLIMIT_NOFILE"};
    case ENOMEM:
      return {errc::no_memory,
              fmt::format("no memory for an io_uring; {}, or lower engine_options::handles_expected",
                          base::raise_for_pinned_memory(ring_bytes_usual))};
    case EINVAL:
      return {
          errc::unsupported_kernel,
          "the kernel supports none of the io_uring set-ups that are needed; Linux 6.0 or newer has them"};
    default:
      return {std::error_code(errno_value, std::system_category()),
              fmt::format("setting an io_uring up: {}", std::strerror(errno_value))};
  }
}

error uring_enter_refused(int errno_value) {
  return {errc::unsupported_kernel,
          fmt::format("io_uring_enter fails with {} ({}), though the io_uring could be set up: a seccomp "
                      "filter, most likely; let "
                      "io_uring_enter through, or set engine_options::wakeup_backend to epoll",
                      errno_value, std::strerror(errno_value))};
}

}  // namespace cpgring::reactor
