#include "service/event_loop.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/check.hpp"

namespace cpgring::service {
namespace {

thread_local event_loop* here = nullptr;

// libqb speaks poll's events; epoll's have the same numbers.
static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLHUP == EPOLLHUP && POLLERR == EPOLLERR && POLLPRI == EPOLLPRI);

}  // namespace

event_loop* event_loop::current() noexcept { return here; }

event_loop::event_loop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), stop_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_ || !stop_fd_) {
    throw std::system_error(errno, std::system_category(), "cpgring: making the service's event loop");
  }
  watches_[stop_fd_.get()] = {};
  if (const int code = control(EPOLL_CTL_ADD, stop_fd_.get(), POLLIN, watches_[stop_fd_.get()]); code != 0) {
    throw std::system_error(-code, std::system_category(), "cpgring: making the service's event loop");
  }
}

event_loop::~event_loop() {
  if (here == this) {
    here = nullptr;
  }
}

qb_ipcs_poll_handlers event_loop::handlers() noexcept { return {&add_job, &add, &modify, &remove}; }

std::int32_t event_loop::control(int operation, std::int32_t fd, std::int32_t events, const watch& w) {
  epoll_event e{};
  e.events = static_cast<std::uint32_t>(events);
  // The generation tells a descriptor's successor from what was reported for its predecessor.
  e.data.u64 = w.generation << 32 | static_cast<std::uint32_t>(fd);
  return ::epoll_ctl(epoll_.get(), operation, fd, &e) == 0 ? 0 : -errno;
}

std::int32_t event_loop::add_job(qb_loop_priority, void* data, qb_loop_job_dispatch_fn run) {
  CPGRING_CHECK(here != nullptr);
  here->jobs_.push_back({data, run});
  return 0;
}

std::int32_t event_loop::add(qb_loop_priority, std::int32_t fd, std::int32_t events, void* data, qb_ipcs_dispatch_fn_t dispatch) {
  CPGRING_CHECK(here != nullptr);
  watch& w = here->watches_[fd];
  w = {data, dispatch, ++here->generations_ & 0xffffffff};
  return here->control(EPOLL_CTL_ADD, fd, events, w);
}

std::int32_t event_loop::modify(qb_loop_priority, std::int32_t fd, std::int32_t events, void* data, qb_ipcs_dispatch_fn_t dispatch) {
  CPGRING_CHECK(here != nullptr);
  watch& w = here->watches_[fd];
  w.data = data;
  w.dispatch = dispatch;
  return here->control(EPOLL_CTL_MOD, fd, events, w);
}

std::int32_t event_loop::remove(std::int32_t fd) {
  CPGRING_CHECK(here != nullptr);
  here->watches_.erase(fd);
  return here->control(EPOLL_CTL_DEL, fd, 0, {});
}

void event_loop::stop() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(stop_fd_.get(), &one, sizeof one);
}

void event_loop::tick_after(base::nanoseconds pause, std::function<void()> tick) {
  tick_at_ = base::clock::now() + pause;
  tick_ = std::move(tick);
}

int event_loop::wait_ms() const {
  if (!jobs_.empty()) {
    return 0;
  }
  if (!tick_at_) {
    return -1;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*tick_at_ - base::clock::now()).count();
  return left < 0 ? 0 : static_cast<int>(left);
}

void event_loop::run_jobs() {
  const auto due = std::exchange(jobs_, {});
  for (const job& one : due) {
    one.run(one.data);
  }
}

void event_loop::enter() noexcept { here = this; }

void event_loop::run() {
  enter();
  std::array<epoll_event, 64> events;
  while (!stopping_) {
    const int got = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_ms());
    for (int i = 0; i < got; ++i) {
      const epoll_event& e = events[static_cast<std::size_t>(i)];
      const auto fd = static_cast<std::int32_t>(e.data.u64 & 0xffffffff);
      if (fd == stop_fd_.get()) {
        stopping_ = true;
        continue;
      }
      const auto found = watches_.find(fd);
      if (found == watches_.end() || found->second.generation != e.data.u64 >> 32) {
        continue;
      }
      const watch w = found->second;
      if (w.dispatch(fd, static_cast<std::int32_t>(e.events), w.data) < 0) {
        const auto still = watches_.find(fd);
        if (still != watches_.end() && still->second.generation == w.generation) {
          remove(fd);
        }
      }
    }
    run_jobs();
    if (tick_at_ && *tick_at_ <= base::clock::now()) {
      tick_at_.reset();
      std::exchange(tick_, nullptr)();
    }
  }
}

}  // namespace cpgring::service
