#include "reactor/wake_epoll.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include <fmt/format.h>

#include "base/check.hpp"
#include "base/hot.hpp"

namespace cpgring::reactor {
namespace {

constexpr std::uint64_t data_cross = UINT64_MAX, data_timer = UINT64_MAX - 1;
constexpr std::size_t events_at_once = 256;

std::uint64_t tag(std::uint32_t slot, std::uint32_t generation) noexcept {
  return std::uint64_t{generation} << 32 | slot;
}

/// Returns the number of bytes that were in it.
std::uint64_t empty_socket(int fd) noexcept {
  std::array<char, 4096> sink;
  std::uint64_t total = 0;
  for (;;) {
    const auto got = ::recv(fd, sink.data(), sink.size(), MSG_DONTWAIT);
    total += got > 0 ? static_cast<std::uint64_t>(got) : 0;
    if (got != static_cast<ssize_t>(sink.size())) {
      return total;
    }
  }
}

timespec to_timespec(base::nanoseconds t) noexcept {
  const auto count = t.count() > 0 ? t.count() : 0;
  return {count / 1000000000, count % 1000000000};
}

}  // namespace

result<std::unique_ptr<wake_epoll>> wake_epoll::create() {
  std::unique_ptr<wake_epoll> made(new wake_epoll);
  made->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  made->wake_fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made->epoll_ || !made->wake_fd_) {
    return fail_errno(errno, "creating an epoll instance");
  }
  if (auto ok = made->set_up(); !ok) {
    return fail(ok.error());
  }
  return made;
}

std::unique_ptr<wake_epoll> wake_epoll::succeed(inheritance from) {
  std::unique_ptr<wake_epoll> made(new wake_epoll);
  made->epoll_ = std::move(from.pollable);
  made->wake_fd_ = std::move(from.wake_fd);
  made->counters_ = std::move(from.counters);
  // A new eventfd under the same number, to which other threads write: the predecessor may still have a read
  // of the old eventfd pending.
  const base::unique_fd fresh(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fresh || ::dup3(fresh.get(), made->wake_fd_.get(), O_CLOEXEC) < 0) {
    made->refuse(fail_errno(errno, "creating an eventfd").why);
  } else if (auto ok = made->set_up(); !ok) {
    made->refuse(ok.error());
  }
  return made;
}

void wake_epoll::refuse(error why) {
  why_ = std::move(why);
  refused_ = true;
}

result<void> wake_epoll::set_up() {
  timer_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_) {
    return fail_errno(errno, "creating a timer");
  }
  for (auto ok : {control(EPOLL_CTL_ADD, wake_fd_.get(), EPOLLIN, data_cross),
                  control(EPOLL_CTL_ADD, timer_.get(), EPOLLIN, data_timer)}) {
    if (!ok) {
      return ok;
    }
  }
  return self_test();
}

result<void> wake_epoll::self_test() {
  const std::uint64_t one = 1;
  if (::write(wake_fd_.get(), &one, sizeof one) != sizeof one) {
    return fail_errno(errno, "writing to an eventfd");
  }
  take(0, base::nanoseconds(1000000));
  if (refused_) {
    return fail(why_);
  }
  if (std::exchange(early_, {}).empty()) {
    return fail(errc::unsupported_kernel, "epoll does not report an eventfd that is readable");
  }
  return {};
}

result<void> wake_epoll::control(int operation, int fd, std::uint32_t events, std::uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) {
    return fail_errno(errno, fmt::format("epoll_ctl on descriptor {}", fd));
  }
  return {};
}

CPGRING_HOT wake_epoll::slot_state& wake_epoll::at(std::uint32_t slot) {
  if (slot >= slots_.size()) {
    slots_.resize(std::size_t{slot} + 1);
  }
  return slots_[slot];
}

result<void> wake_epoll::add(std::uint32_t slot, const wake_target& where) {
  slot_state& s = at(slot);
  CPGRING_CHECK(!s.used);
  s.used = true;
  s.fd = where.fd;
  s.bytes_read = where.bytes_read;
  return where.fd < 0
             ? result<void>{}
             : control(EPOLL_CTL_ADD, where.fd, EPOLLIN | EPOLLRDHUP | EPOLLET, tag(slot, s.generation));
}

void wake_epoll::remove(std::uint32_t slot) {
  slot_state& s = at(slot);
  if (s.fd >= 0) {
    static_cast<void>(control(EPOLL_CTL_DEL, s.fd, 0, 0));
  }
  const std::uint32_t next = s.generation + 1;
  s = {};
  s.generation = next;
}

CPGRING_HOT void wake_epoll::arm_event(std::uint32_t slot) {
  slot_state& s = at(slot);
  if (s.armed || s.fd < 0) {
    return;
  }
  s.armed = true;
  counters_->arms.add();
  const std::uint64_t bytes = empty_socket(s.fd);
  if (s.bytes_read != nullptr) {
    *s.bytes_read += bytes;
  }
}

result<void> wake_epoll::watch(std::uint32_t slot, int fd) {
  slot_state& s = at(slot);
  CPGRING_CHECK(!s.used);
  s.used = s.watched = true;
  s.fd = fd;
  return control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, tag(slot, s.generation));
}

void wake_epoll::unwatch(std::uint32_t slot) { remove(slot); }

CPGRING_HOT void wake_epoll::take(int timeout_ms, std::optional<base::nanoseconds> timeout) {
  std::array<epoll_event, events_at_once> events;
  counters_->enters.add();
  int got = 0;
  if (refused_) {
    return;
  }
  const bool limited = timeout && *timeout > base::nanoseconds(0);
  if (limited && !whole_milliseconds_) {
    const timespec ts = to_timespec(*timeout);
    got = ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()), &ts, nullptr);
    whole_milliseconds_ = got < 0 && errno != EINTR;
  }
  if (limited && whole_milliseconds_) {  // rounded up
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*timeout).count();
    got = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                       ms > 60000 ? 60000 : static_cast<int>(ms));
  } else if (!limited) {
    got =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout ? 0 : timeout_ms);
  }
  if (got < 0 && errno != EINTR) {
    refuse({errc::unsupported_kernel,
            fmt::format("epoll_wait fails with {} ({}): a seccomp filter, most likely; let epoll_wait and "
                        "epoll_pwait2 through",
                        errno, std::strerror(errno))});
  }
  for (int i = 0; i < got; ++i) {
    const epoll_event& e = events[static_cast<std::size_t>(i)];
    std::uint64_t count = 0;
    if (e.data.u64 == data_cross) {
      [[maybe_unused]] const auto n = ::read(wake_fd_.get(), &count, sizeof count);
      early_.push_back({completion_kind::cross, 0});
      continue;
    }
    if (e.data.u64 == data_timer) {
      [[maybe_unused]] const auto n = ::read(timer_.get(), &count, sizeof count);
      continue;
    }
    const auto slot = static_cast<std::uint32_t>(e.data.u64);
    slot_state& s = slots_[slot];
    if (!s.used || tag(slot, s.generation) != e.data.u64) {
      continue;
    }
    if (s.watched) {
      s.watched = false;
      early_.push_back({completion_kind::readable, slot});
      continue;
    }
    if ((e.events & EPOLLIN) != 0 && s.armed) {
      s.armed = false;
      early_.push_back({completion_kind::event, slot});
    }
    if ((e.events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0 && !s.hang_up_reported) {
      s.hang_up_reported = true;
      early_.push_back({completion_kind::hang_up, slot});
    }
  }
}

CPGRING_HOT void wake_epoll::reap(std::vector<completion>& into) {
  if (early_.empty()) {
    take(0, std::nullopt);
  }
  into.insert(into.end(), early_.begin(), early_.end());
  early_.clear();
}

CPGRING_HOT void wake_epoll::sleep(std::optional<base::time_point> until) {
  if (early_.empty()) {
    take(-1, until ? std::optional(*until - base::clock::now()) : std::nullopt);
  }
}

void wake_epoll::prepare_foreign_wait(std::optional<base::time_point> until, bool at_once) {
  itimerspec when{};
  if (at_once) {
    when.it_value.tv_nsec = 1;  // in the past
  } else if (until) {
    when.it_value = to_timespec(until->time_since_epoch());
  }
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

}  // namespace cpgring::reactor
