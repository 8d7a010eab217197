#include "service/event_loop.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include <cpgring/result.hpp>

#include "base/check.hpp"

namespace cpgring::service {
namespace {

thread_local event_loop* here = nullptr;

constexpr base::nanoseconds descriptor_pause = std::chrono::milliseconds(100);
constexpr int listen_backlog = 128;  // the same as libqb's

// libqb uses poll()'s event bits; epoll's have the same values.
static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLHUP == EPOLLHUP && POLLERR == EPOLLERR &&
              POLLPRI == EPOLLPRI);

}  // namespace

event_loop* event_loop::current() noexcept { return here; }

event_loop::event_loop()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_ || !wake_fd_) {
    detail::throw_error(fail_errno(errno, "creating the service's event loop").why);
  }
  epoll_in_child_ = base::closed_in_child(epoll_.get());
  watches_[wake_fd_.get()] = {};
  if (const int code = control(EPOLL_CTL_ADD, wake_fd_.get(), POLLIN, watches_[wake_fd_.get()]); code != 0) {
    detail::throw_error(fail_errno(-code, "creating the service's event loop").why);
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
  // The generation distinguishes a reused descriptor from its predecessor, for which events may still be
  // pending.
  e.data.u64 = w.generation << 32 | static_cast<std::uint32_t>(fd);
  return ::epoll_ctl(epoll_.get(), operation, fd, &e) == 0 ? 0 : -errno;
}

std::int32_t event_loop::add_job(qb_loop_priority, void* data, qb_loop_job_dispatch_fn run) {
  CPGRING_CHECK(here != nullptr);
  here->jobs_.push_back({data, run});
  return 0;
}

std::int32_t event_loop::add(qb_loop_priority, std::int32_t fd, std::int32_t events, void* data,
                             qb_ipcs_dispatch_fn_t dispatch) {
  CPGRING_CHECK(here != nullptr);
  event_loop& self = *here;
  const role what = self.reporting_ < 0                      ? role::listener
                    : self.reporting_role_ == role::listener ? role::handshake
                                                             : role::client;
  if (what == role::handshake && self.gatekeeper_ != nullptr && !self.gatekeeper_->may_begin(fd)) {
    return -EACCES;
  }
  watch& w = self.watches_[fd];
  w = {data, dispatch, ++self.generations_ & 0xffffffff, events, false, what, base::closed_in_child(fd)};
  const std::int32_t code = self.control(EPOLL_CTL_ADD, fd, events, w);
  if (code != 0) {
    self.forget(fd);
  }
  return code;
}

std::int32_t event_loop::modify(qb_loop_priority, std::int32_t fd, std::int32_t events, void* data,
                                qb_ipcs_dispatch_fn_t dispatch) {
  CPGRING_CHECK(here != nullptr);
  watch& w = here->watches_[fd];
  w.data = data;
  w.dispatch = dispatch;
  w.events = events;
  if ((events & POLLOUT) != 0) {
    here->wanting_output_.insert(data);
  } else {
    here->wanting_output_.erase(data);
  }
  return w.output_held ? 0 : here->control(EPOLL_CTL_MOD, fd, events, w);
}

std::int32_t event_loop::remove(std::int32_t fd) {
  CPGRING_CHECK(here != nullptr);
  here->forget(fd);
  return here->control(EPOLL_CTL_DEL, fd, 0, {});
}

void event_loop::forget(std::int32_t fd) {
  const auto at = watches_.find(fd);
  if (at == watches_.end()) {
    return;
  }
  const role what = at->second.what;
  wanting_output_.erase(at->second.data);
  watches_.erase(at);
  if (what == role::handshake && gatekeeper_ != nullptr) {
    gatekeeper_->ended(fd);
  }
}

void event_loop::stop() noexcept {
  {
    const std::lock_guard lock(posted_lock_);
    stop_asked_ = true;
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd_.get(), &one, sizeof one);
}

bool event_loop::post(std::function<void()> task) {
  {
    const std::lock_guard lock(posted_lock_);
    if (stop_asked_) {
      return false;
    }
    posted_.push_back(std::move(task));
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd_.get(), &one, sizeof one);
  return true;
}

/// Tasks that were posted before stop() still run, because their posters may be waiting for them.
void event_loop::on_wake() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(wake_fd_.get(), &count, sizeof count);
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(posted_lock_);
    tasks = std::exchange(posted_, {});
    stopping_ = stop_asked_;
  }
  for (const auto& task : tasks) {
    task();
  }
}

void event_loop::call_after(base::nanoseconds pause, std::function<void()> tick) {
  ticks_.emplace(base::clock::now() + pause, std::move(tick));
}

void event_loop::pause(base::nanoseconds length, std::function<void()> after) {
  paused_until_ = base::clock::now() + length;
  after_standing_ = std::move(after);
}

void event_loop::resume() {
  if (standing()) {
    std::exchange(after_standing_, nullptr)();
  }
}

std::int32_t event_loop::descriptor_of(const void* data) const noexcept {
  for (const auto& [fd, w] : watches_) {
    if (w.data == data) {
      return fd;
    }
  }
  return -1;
}

void event_loop::hold_output(std::int32_t fd) {
  if (const auto at = watches_.find(fd); at != watches_.end()) {
    at->second.output_held = true;
  }
}

void event_loop::release_output(std::int32_t fd) {
  if (const auto at = watches_.find(fd);
      at != watches_.end() && std::exchange(at->second.output_held, false)) {
    static_cast<void>(control(EPOLL_CTL_MOD, fd, at->second.events, at->second));
  }
}

int event_loop::wait_ms() const {
  if (!jobs_.empty() && !standing()) {
    return 0;
  }
  if (ticks_.empty() && !standing()) {
    return -1;
  }
  const auto until = standing() ? paused_until_ : ticks_.begin()->first;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - base::clock::now()).count();
  return left < 0 ? 0 : static_cast<int>(left);
}

void event_loop::run_due() {
  const auto now = base::clock::now();
  while (!ticks_.empty() && ticks_.begin()->first <= now) {  // ticks that tick() adds are due later
    const auto tick = std::move(ticks_.begin()->second);
    ticks_.erase(ticks_.begin());
    tick();
  }
}

void event_loop::run_jobs() {
  const auto due = std::exchange(jobs_, {});
  for (const job& one : due) {
    one.run(one.data);
  }
}

void event_loop::enter() noexcept { here = this; }

void event_loop::report(std::uint64_t key, std::int32_t events) {
  const auto fd = static_cast<std::int32_t>(key & 0xffffffff);
  if (fd == wake_fd_.get()) {
    return on_wake();
  }
  const auto found = watches_.find(fd);
  if (found == watches_.end() || found->second.generation != key >> 32) {
    return;
  }
  if (const watch& w = found->second; may_accept(fd, w)) {
    dispatch(fd, w, events);
  }
}

void event_loop::dispatch(std::int32_t fd, const watch& w, std::int32_t events) {
  const std::uint64_t generation = w.generation;
  const auto outer = std::exchange(reporting_, fd);
  const auto outer_role = std::exchange(reporting_role_, w.what);
  ++reports_;
  const std::int32_t code = w.dispatch(fd, events, w.data);  // may invalidate `w`
  reporting_ = outer;
  reporting_role_ = outer_role;
  if (code < 0) {
    const auto still = watches_.find(fd);
    if (still != watches_.end() && still->second.generation == generation) {
      remove(fd);
    }
  }
}

/// False: no descriptor is free, so accept() would fail and the socket would stay readable. Its events are
/// then ignored for descriptor_pause.
bool event_loop::may_accept(std::int32_t fd, const watch& w) {
  if (w.what != role::listener) {
    return true;
  }
  if (const base::unique_fd one(::fcntl(wake_fd_.get(), F_DUPFD_CLOEXEC, 0)); one) {
    return true;
  }
  if (gatekeeper_ != nullptr) {
    gatekeeper_->out_of_descriptors();
  }
  static_cast<void>(control(EPOLL_CTL_MOD, fd, 0, w));
  call_after(descriptor_pause, [this, fd, generation = w.generation] {
    const auto still = watches_.find(fd);
    if (still != watches_.end() && still->second.generation == generation) {
      static_cast<void>(control(EPOLL_CTL_MOD, fd, still->second.events, still->second));
    }
  });
  return false;
}

void event_loop::hang_up(std::int32_t fd) {
  if (const auto at = watches_.find(fd); at != watches_.end()) {
    dispatch(fd, at->second, POLLHUP);
  }
}

result<void> event_loop::renew_credentials() {
  for (const auto& [fd, w] : watches_) {
    if (w.what == role::listener && w.dispatch != nullptr && ::listen(fd, listen_backlog) != 0) {
      return fail_errno(errno, "renewing the credentials of a listening socket");
    }
  }
  return {};
}

void event_loop::run() {
  enter();
  std::array<epoll_event, 64> events;
  while (!stopping_) {
    if (standing()) {
      pollfd woken{wake_fd_.get(), POLLIN, 0};
      if (::poll(&woken, 1, wait_ms()) > 0) {
        on_wake();
      }
      if (standing() && base::clock::now() >= paused_until_) {
        resume();
      }
      continue;
    }
    const int got = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_ms());
    for (int i = 0; i < got && !standing(); ++i) {  // level-triggered: the rest is reported again
      report(events[static_cast<std::size_t>(i)].data.u64,
             static_cast<std::int32_t>(events[static_cast<std::size_t>(i)].events));
    }
    if (!standing()) {
      run_jobs();
      run_due();
    }
  }
  // Connections whose end libqb has deferred to a job must end here. Otherwise destroying libqb's server
  // would end them a second time.
  resume();
  run_jobs();
}

}  // namespace cpgring::service
