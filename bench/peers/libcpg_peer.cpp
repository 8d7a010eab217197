#include "peers/libcpg_peer.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

namespace cpgring::bench {
namespace {

constexpr int events_at_once = 256;

void must(cs_error_t code, const char* what) {
  if (code != CS_OK) {
    throw std::runtime_error(fmt::format("libcpg: {} answered {}", what, static_cast<int>(code)));
  }
}

libcpg_peer& of(cpg_handle_t handle) {
  void* context = nullptr;
  must(::cpg_context_get(handle, &context), "cpg_context_get");
  return *static_cast<libcpg_peer*>(context);
}

}  // namespace

void libcpg_peer::deliver(cpg_handle_t handle, const cpg_name*, std::uint32_t, std::uint32_t, void* message, std::size_t size) {
  auto& self = of(handle);
  ++self.received_;
  std::uint64_t first = 0;
  std::memcpy(&first, message, size < sizeof first ? size : sizeof first);
  self.sum_ += first;
}

void libcpg_peer::changed(cpg_handle_t handle, const cpg_name*, const cpg_address*, std::size_t, const cpg_address*, std::size_t,
                          const cpg_address*, std::size_t) {
  ++of(handle).views_;
}

libcpg_peer::libcpg_peer(std::string_view stem, std::size_t handles) : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  cpg_model_v1_data_t model{};
  model.model = CPG_MODEL_V1;
  model.cpg_deliver_fn = deliver;
  model.cpg_confchg_fn = changed;
  for (std::size_t i = 0; i < handles; ++i) {
    cpg_handle_t handle = 0;
    must(::cpg_model_initialize(&handle, CPG_MODEL_V1, reinterpret_cast<cpg_model_data_t*>(&model), this), "cpg_model_initialize");
    handles_.push_back(handle);
    cpg_name name{};
    const std::string text = fmt::format("{}-{}", stem, i);
    name.length = static_cast<std::uint32_t>(text.size());
    std::memcpy(name.value, text.data(), text.size());
    // A daemon that is busy with earlier joins says so.
    cs_error_t joined = CS_ERR_TRY_AGAIN;
    for (int attempt = 0; attempt < 1000 && (joined = ::cpg_join(handle, &name)) == CS_ERR_TRY_AGAIN; ++attempt) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    must(joined, "cpg_join");
    int fd = -1;
    must(::cpg_fd_get(handle, &fd), "cpg_fd_get");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = handle;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }
  take_views(handles);
}

libcpg_peer::~libcpg_peer() {
  for (const auto handle : handles_) {
    ::cpg_finalize(handle);
  }
  ::close(epoll_);
}

bool libcpg_peer::multicast(std::size_t index, std::string_view payload) {
  const iovec part{const_cast<char*>(payload.data()), payload.size()};
  const auto code = ::cpg_mcast_joined(handles_[index], CPG_TYPE_AGREED, &part, 1);
  if (code != CS_ERR_TRY_AGAIN) {
    must(code, "cpg_mcast_joined");
  }
  return code == CS_OK;
}

void libcpg_peer::take(std::uint64_t events) {
  const std::uint64_t until = received_ + events;
  epoll_event ready[events_at_once];
  while (received_ < until) {
    const int count = ::epoll_wait(epoll_, ready, events_at_once, -1);
    for (int i = 0; i < count; ++i) {
      ::cpg_dispatch(ready[i].data.u64, CS_DISPATCH_ALL);
    }
  }
}

void libcpg_peer::take_views(std::uint64_t until) {
  epoll_event ready[events_at_once];
  while (views_ < until) {
    const int count = ::epoll_wait(epoll_, ready, events_at_once, -1);
    for (int i = 0; i < count; ++i) {
      ::cpg_dispatch(ready[i].data.u64, CS_DISPATCH_ALL);
    }
  }
}

void libcpg_peer::dispatch_all() { ::cpg_dispatch(handles_[0], CS_DISPATCH_ALL); }

}  // namespace cpgring::bench
