#include "support/forked.hpp"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <exception>
#include <new>
#include <stdexcept>
#include <system_error>

#include "support/clocks.hpp"

namespace cpgring::bench {
namespace {

constexpr time_t dead_after_seconds = 60;

}  // namespace

shared_semaphore::shared_semaphore() {
  void* page = ::mmap(nullptr, sizeof(sem_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) {
    throw std::system_error(errno, std::generic_category(), "mmap");
  }
  semaphore_ = ::new (page) sem_t;
  ::sem_init(semaphore_, 1, 0);
}

shared_semaphore::~shared_semaphore() { ::munmap(semaphore_, sizeof(sem_t)); }

void shared_semaphore::post() noexcept { ::sem_post(semaphore_); }

void shared_semaphore::wait() noexcept {
  while (::sem_wait(semaphore_) != 0) {
  }
}

void shared_semaphore::wait_for(std::size_t times) {
  for (std::size_t i = 0; i < times; ++i) {
    timespec until{};
    ::clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += dead_after_seconds;
    while (::sem_timedwait(semaphore_, &until) != 0) {
      if (errno != EINTR) {
        throw std::runtime_error("a process of this benchmark does not answer");
      }
    }
  }
}

forked::forked(std::size_t count, const std::function<void()>& what) {
  const pid_t parent = ::getpid();
  for (std::size_t i = 0; i < count; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() == parent) {
        try {
          what();
        } catch (const std::exception&) {  // the parent misses its answer, and reports that
        }
      }
      ::_exit(1);
    }
    if (child < 0) {
      throw std::system_error(errno, std::generic_category(), "fork");
    }
    children_.push_back(child);
  }
}

forked::~forked() {
  for (const pid_t child : children_) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
}

double forked::cpu_seconds() const {
  double sum = 0;
  for (const pid_t child : children_) {
    clockid_t clock = 0;
    if (::clock_getcpuclockid(child, &clock) == 0) {
      sum += bench::cpu_seconds(clock);
    }
  }
  return sum;
}

}  // namespace cpgring::bench
