#include "reactor/wake_epoll.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>

#include <fmt/format.h>

#include "base/check.hpp"

namespace cpgring::reactor {
namespace {

constexpr std::uint64_t data_cross = UINT64_MAX, data_timer = UINT64_MAX - 1;
constexpr std::size_t events_at_once = 256;

std::uint64_t tag(std::uint32_t slot, std::uint32_t generation) noexcept { return std::uint64_t{generation} << 32 | slot; }

/// How many bytes were in it.
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
  made->timer_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!made->epoll_ || !made->wake_fd_ || !made->timer_) {
    return fail_errno(errno, "making an epoll");
  }
  for (auto ok : {made->control(EPOLL_CTL_ADD, made->wake_fd_.get(), EPOLLIN, data_cross),
                  made->control(EPOLL_CTL_ADD, made->timer_.get(), EPOLLIN, data_timer)}) {
    if (!ok) {
      return fail(ok.error());
    }
  }
  return made;
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

wake_epoll::slot_state& wake_epoll::at(std::uint32_t slot) {
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
  return where.fd < 0 ? result<void>{} : control(EPOLL_CTL_ADD, where.fd, EPOLLIN | EPOLLRDHUP | EPOLLET, tag(slot, s.generation));
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

void wake_epoll::arm_event(std::uint32_t slot) {
  slot_state& s = at(slot);
  if (s.armed || s.fd < 0) {
    return;
  }
  s.armed = true;
  counters_.arms.add();
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

void wake_epoll::take(int timeout_ms, std::optional<base::nanoseconds> timeout) {
  std::array<epoll_event, events_at_once> events;
  counters_.enters.add();
  int got = 0;
  if (timeout && *timeout > base::nanoseconds(0)) {
    const timespec ts = to_timespec(*timeout);
    got = ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()), &ts, nullptr);
    if (got < 0 && errno == ENOSYS) {  // before Linux 5.11: whole milliseconds, rounded up
      const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*timeout).count();
      got = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), ms > 60000 ? 60000 : static_cast<int>(ms));
    }
  } else {
    got = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout ? 0 : timeout_ms);
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
    if ((e.events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0 && !s.hang_up_told) {
      s.hang_up_told = true;
      early_.push_back({completion_kind::hang_up, slot});
    }
  }
}

void wake_epoll::reap(std::vector<completion>& into) {
  if (early_.empty()) {
    take(0, std::nullopt);
  }
  into.insert(into.end(), early_.begin(), early_.end());
  early_.clear();
}

void wake_epoll::sleep(std::optional<base::time_point> until) {
  if (early_.empty()) {
    take(-1, until ? std::optional(*until - base::clock::now()) : std::nullopt);
  }
}

void wake_epoll::prepare_foreign_wait(std::optional<base::time_point> until, bool at_once) {
  itimerspec when{};
  if (at_once) {
    when.it_value.tv_nsec = 1;  // long past
  } else if (until) {
    when.it_value = to_timespec(until->time_since_epoch());
  }
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

}  // namespace cpgring::reactor
