// Descriptors guarded by closed_in_child are closed in a child of fork().
#include "base/closed_in_child.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/owned.hpp"

namespace {

using namespace cpgring;

base::unique_fd some_file() { return base::unique_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

/// True if a forked child has this descriptor open.
bool child_has(int fd) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(::fcntl(fd, F_GETFD) >= 0 ? 1 : 0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WEXITSTATUS(status) == 1;
}

TEST(closed_in_child, the_child_has_no_copy_and_the_parent_keeps_its_own) {
  const auto file = some_file();
  EXPECT_TRUE(child_has(file.get()));
  const base::closed_in_child guard(file.get());
  EXPECT_FALSE(child_has(file.get()));
  EXPECT_GE(::fcntl(file.get(), F_GETFD), 0);
}

TEST(closed_in_child, ends_with_its_last_owner) {
  const auto file = some_file();
  base::closed_in_child first(file.get());
  base::closed_in_child second(std::move(first));
  first.reset();
  EXPECT_FALSE(child_has(file.get()));
  second = {};
  EXPECT_TRUE(child_has(file.get()));
}

TEST(closed_in_child, a_number_reused_in_the_child_stays_open_in_the_grandchild) {
  const auto file = some_file();
  const base::closed_in_child guard(file.get());
  const pid_t child = ::fork();
  if (child == 0) {
    const bool taken = ::dup2(::open("/dev/null", O_RDONLY | O_CLOEXEC), file.get()) == file.get();
    ::_exit(taken && child_has(file.get()) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(closed_in_child, minus_one_guards_nothing) {
  base::closed_in_child none(-1);
  none.reset();
}

}  // namespace
