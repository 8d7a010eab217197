// A program that is started without standard streams. Each case runs in a child; its exit code is the result.
#include "cli/descriptors.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

namespace cpgring::cli {
namespace {

/// The result of `check` in a child that closed these descriptors and called open_missing_descriptors().
int in_a_child_without(const std::vector<int>& closed, const std::function<int()>& check) {
  const pid_t child = ::fork();
  if (child == 0) {
    for (const int fd : closed) {
      ::close(fd);
    }
    ::_exit(open_missing_descriptors() ? check() : 99);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool is_dev_null(int fd) {
  struct stat it {
  }, null{};
  return ::fstat(fd, &it) == 0 && ::stat("/dev/null", &null) == 0 && it.st_rdev == null.st_rdev &&
         S_ISCHR(it.st_mode);
}

TEST(missing_descriptors, become_dev_null_and_the_next_open_returns_more_than_2) {
  for (const auto& closed : std::vector<std::vector<int>>{{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}}) {
    EXPECT_EQ(in_a_child_without(closed,
                                 [&] {
                                   for (const int fd : closed) {
                                     if (!is_dev_null(fd)) {
                                       return 1;
                                     }
                                   }
                                   return ::open("/", O_RDONLY | O_CLOEXEC) > 2 ? 0 : 2;
                                 }),
              0);
  }
}

TEST(missing_descriptors, reads_and_writes_fail_except_on_standard_error) {
  EXPECT_EQ(in_a_child_without({0, 1, 2},
                               [] {
                                 char byte = 0;
                                 const bool in = ::read(0, &byte, 1) < 0 && errno == EBADF;
                                 const bool out = ::write(1, "x", 1) < 0 && errno == EBADF;
                                 return in && out && ::write(2, "x", 1) == 1 ? 0 : 1;
                               }),
            0);
}

TEST(missing_descriptors, open_descriptors_are_unchanged) {
  EXPECT_EQ(in_a_child_without({}, [] { return ::fcntl(0, F_GETFD) >= 0 ? 0 : 1; }), 0);
}

}  // namespace
}  // namespace cpgring::cli
