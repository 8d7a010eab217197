#include "base/closed_in_child.hpp"

#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <set>
#include <system_error>

namespace cpgring::base {
namespace {

struct registry {
  std::mutex lock;
  std::set<int> open;

  registry();
};

/// Never destroyed: fork() may be called while the process exits.
registry& the_registry() {
  static auto& one = *new registry();
  return one;
}

void before_fork() { the_registry().lock.lock(); }  // so that the child finds a consistent set
void in_parent() { the_registry().lock.unlock(); }
void in_child() {
  auto& r = the_registry();
  for (const int fd : r.open) {
    ::close(fd);
  }
  r.open.clear();
  r.lock.unlock();
}

registry::registry() {
  if (const int code = ::pthread_atfork(&before_fork, &in_parent, &in_child); code != 0) {
    throw std::system_error(code, std::system_category(), "cpgring: pthread_atfork");
  }
}

}  // namespace

closed_in_child::closed_in_child(int fd) {
  if (fd >= 0) {
    auto& r = the_registry();
    const std::lock_guard lock(r.lock);
    r.open.insert(fd);
    fd_ = fd;
  }
}

void closed_in_child::reset() noexcept {
  if (const int fd = std::exchange(fd_, -1); fd >= 0) {
    auto& r = the_registry();
    const std::lock_guard lock(r.lock);
    r.open.erase(fd);
  }
}

}  // namespace cpgring::base
