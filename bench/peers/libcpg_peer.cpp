#include "peers/libcpg_peer.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <stdexcept>

#include <fmt/format.h>
#include <cpgring/histogram.hpp>

#include "cli/unique_name.hpp"
#include "support/clocks.hpp"

namespace cpgring::bench {
namespace {

constexpr int events_at_once = 256;

/// The peer whose dispatch runs on this thread. Cheaper for libcpg than a query of the handle's context for
/// each event.
thread_local libcpg_peer* dispatching = nullptr;

}  // namespace

void libcpg_peer::deliver(cpg_handle_t, const cpg_name*, std::uint32_t, std::uint32_t, void* message,
                          std::size_t size) {
  auto& self = *dispatching;
  ++self.received_;
  std::uint64_t first = 0;
  std::memcpy(&first, message, size < sizeof first ? size : sizeof first);
  self.sum_ += first;
  if (self.latency_ != nullptr) {
    const auto now = now_ns();
    self.latency_->record(now > first ? now - first : 0);
  }
}

void libcpg_peer::changed(cpg_handle_t, const cpg_name*, const cpg_address*, std::size_t, const cpg_address*,
                          std::size_t, const cpg_address*, std::size_t) {
  ++dispatching->views_;
}

libcpg_peer::libcpg_peer(std::string_view stem, std::size_t handles)
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  const auto group = cli::unique_name(stem);
  for (std::size_t i = 0; i < handles; ++i) {
    const auto handle = handles_.emplace_back(fmt::format("{}-{}", group, i), deliver, changed).handle();
    int fd = -1;
    must(::cpg_fd_get(handle, &fd), "cpg_fd_get");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = handle;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }
  while (views_ < handles) {
    wait_and_dispatch(-1);
  }
}

libcpg_peer::~libcpg_peer() { ::close(epoll_); }

void libcpg_peer::dispatch(cpg_handle_t handle, cs_dispatch_flags_t how) {
  dispatching = this;
  const auto code = ::cpg_dispatch(handle, how);
  if (code != CS_ERR_TRY_AGAIN) {
    must(code, "cpg_dispatch");
  }
}

void libcpg_peer::wait_and_dispatch(std::int64_t timeout_ns) {
  epoll_event ready[events_at_once];
  const timespec timeout{timeout_ns / 1000000000, timeout_ns % 1000000000};
  const int count =
      ::epoll_pwait2(epoll_, ready, events_at_once, timeout_ns < 0 ? nullptr : &timeout, nullptr);
  if (count < 0 && errno != EINTR) {
    throw std::runtime_error(fmt::format("epoll_pwait2: {}", std::strerror(errno)));
  }
  for (int i = 0; i < count; ++i) {
    dispatch(ready[i].data.u64, CS_DISPATCH_ALL);
  }
}

void libcpg_peer::take(std::uint64_t events) {
  for (const std::uint64_t until = received_ + events; received_ < until;) {
    wait_and_dispatch(-1);
  }
}

void libcpg_peer::take_as(cs_dispatch_flags_t how, std::uint64_t events) {
  for (const std::uint64_t until = received_ + events; received_ < until;) {
    dispatch(handles_[0].handle(), how);
  }
}

void libcpg_peer::take_pending() {
  if (handles_.size() == 1) {
    dispatch(handles_[0].handle(), CS_DISPATCH_ALL);
  } else {
    wait_and_dispatch(0);
  }
}

void libcpg_peer::take_until(std::uint64_t deadline) {
  do {
    const auto now = now_ns();
    wait_and_dispatch(deadline > now ? static_cast<std::int64_t>(deadline - now) : 0);
  } while (now_ns() < deadline);
}

}  // namespace cpgring::bench
