// libqb's own server on its own thread, with the minimal event loop that it needs.
#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <qb/qbipcs.h>

#include "base/owned.hpp"
#include "unit/ipc/raw_ring.hpp"

namespace cpgring::ipc::test {

/// The event loop of one thread; found through a thread_local because libqb's poll handlers carry no context.
class server_loop {
 public:
  server_loop() {
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.fd = wake_.get();
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &e);
  }
  server_loop(const server_loop&) = delete;
  server_loop& operator=(const server_loop&) = delete;

  static qb_ipcs_poll_handlers handlers() {
    return {
        [](qb_loop_priority, void* data, qb_loop_job_dispatch_fn run) -> std::int32_t {
          here->jobs_.emplace_back(run, data);
          return 0;
        },
        [](qb_loop_priority, std::int32_t fd, std::int32_t events, void* data, qb_ipcs_dispatch_fn_t run) {
          return here->control(EPOLL_CTL_ADD, fd, events, {run, data});
        },
        [](qb_loop_priority, std::int32_t fd, std::int32_t events, void* data, qb_ipcs_dispatch_fn_t run) {
          return here->control(EPOLL_CTL_MOD, fd, events, {run, data});
        },
        [](std::int32_t fd) -> std::int32_t {
          here->watches_.erase(fd);
          return ::epoll_ctl(here->epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) == 0 ? 0 : -errno;
        },
    };
  }
  /// Makes this the loop of the calling thread.
  void enter() { here = this; }
  void turn(int wait_ms) {
    std::array<epoll_event, 16> events;
    const int got = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 jobs_.empty() ? wait_ms : 0);
    for (int i = 0; i < got; ++i) {
      const auto& e = events[static_cast<std::size_t>(i)];
      if (e.data.fd == wake_.get()) {
        std::uint64_t count = 0;
        [[maybe_unused]] const auto n = ::read(wake_.get(), &count, sizeof count);
      } else if (const auto found = watches_.find(e.data.fd); found != watches_.end()) {
        const auto [run, data] = found->second;
        if (run(e.data.fd, static_cast<std::int32_t>(e.events), data) < 0 && watches_.erase(e.data.fd) != 0) {
          ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, e.data.fd, nullptr);
        }
      }
    }
    for (const auto& [run, data] : std::exchange(jobs_, {})) {
      run(data);
    }
  }
  /// Any thread.
  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);
  }

 private:
  using watch = std::pair<qb_ipcs_dispatch_fn_t, void*>;

  std::int32_t control(int operation, std::int32_t fd, std::int32_t events, watch w) {
    watches_[fd] = w;
    epoll_event e{};
    e.events = static_cast<std::uint32_t>(events);  // poll and epoll use the same bits
    e.data.fd = fd;
    return ::epoll_ctl(epoll_.get(), operation, fd, &e) == 0 ? 0 : -errno;
  }

  static inline thread_local server_loop* here = nullptr;
  base::unique_fd epoll_{::epoll_create1(EPOLL_CLOEXEC)};
  base::unique_fd wake_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::unordered_map<std::int32_t, watch> watches_;
  std::vector<std::pair<qb_loop_job_dispatch_fn, void*>> jobs_;
};

/// libqb's server, single-threaded. Each request is answered with a valid header and its own payload.
class qb_server {
 public:
  /// `admission`: answer to each client, 0 or a negative errno. `least_buffer`: buffer size that libqb
  /// enforces; 0: none.
  qb_server(std::string name, std::int32_t admission, std::uint32_t least_buffer)
      : name_(std::move(name)), admission_(admission) {
    qb_ipcs_service_handlers handlers{
        [](qb_ipcs_connection_t* c, uid_t, gid_t) { return of(c).admission_; },
        [](qb_ipcs_connection_t* c) { of(c).connections_.push_back(c); },
        [](qb_ipcs_connection_t* c, void* data, std::size_t size) {
          return of(c).on_request(c, static_cast<const char*>(data), size);
        },
        [](qb_ipcs_connection_t* c) -> std::int32_t {
          std::erase(of(c).connections_, c);
          return 0;
        },
        [](qb_ipcs_connection_t*) {},
    };
    service_ = ::qb_ipcs_create(name_.c_str(), 0, QB_IPC_SHM, &handlers);
    auto poll = server_loop::handlers();
    ::qb_ipcs_poll_handlers_set(service_, &poll);
    ::qb_ipcs_service_context_set(service_, this);
    if (least_buffer != 0) {
      ::qb_ipcs_enforce_buffer_size(service_, least_buffer);
    }
    if (const auto code = ::qb_ipcs_run(service_); code != 0) {
      std::fprintf(stderr, "qb_ipcs_run: %d\n", code);
      std::abort();
    }
  }
  qb_server(const qb_server&) = delete;
  qb_server& operator=(const qb_server&) = delete;
  ~qb_server() { ::qb_ipcs_destroy(service_); }

  [[nodiscard]] qb_ipcs_service_t* get() const { return service_; }
  [[nodiscard]] const std::vector<qb_ipcs_connection_t*>& connections() const { return connections_; }
  [[nodiscard]] const std::vector<std::string>& requests() const { return requests_; }

 private:
  static qb_server& of(qb_ipcs_connection_t* c) {
    return *static_cast<qb_server*>(::qb_ipcs_connection_service_context_get(c));
  }
  std::int32_t on_request(qb_ipcs_connection_t* c, const char* data, std::size_t size) {
    requests_.emplace_back(data, size);
    qb_ipc_request_header asked;
    std::memcpy(&asked, data, sizeof asked);
    std::string answer(sizeof(qb_ipc_response_header), '\0');
    answer.append(data + sizeof asked, size - sizeof asked);
    qb_ipc_response_header header{};
    header.id = asked.id;
    header.size = static_cast<std::int32_t>(answer.size());
    header.error = 1;
    std::memcpy(answer.data(), &header, sizeof header);
    return ::qb_ipcs_response_send(c, answer.data(), answer.size()) < 0 ? -1 : 0;
  }

  std::string name_;
  std::int32_t admission_;
  qb_ipcs_service_t* service_ = nullptr;
  std::vector<qb_ipcs_connection_t*> connections_;
  std::vector<std::string> requests_;
};

/// A qb_server on its own thread.
class qb_service {
 public:
  explicit qb_service(std::int32_t admission = 0, std::uint32_t least_buffer = 0)
      : name_(fresh_name("service")) {
    thread_ = std::thread([=, this] { run(admission, least_buffer); });
    call([](qb_server&) {});  // returns once the server listens
  }
  qb_service(const qb_service&) = delete;
  qb_service& operator=(const qb_service&) = delete;
  ~qb_service() {
    stop_.store(true, std::memory_order_relaxed);
    loop_.wake();
    thread_.join();
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  /// Runs `what` on the server's thread and waits for it.
  template <class What>
  std::invoke_result_t<What, qb_server&> call(What what) {
    std::packaged_task<std::invoke_result_t<What, qb_server&>(qb_server&)> task(std::move(what));
    auto done = task.get_future();
    {
      const std::lock_guard lock(mutex_);
      calls_.emplace_back([&task](qb_server& server) { task(server); });
    }
    loop_.wake();
    return done.get();
  }
  std::size_t connections() {
    return call([](qb_server& s) { return s.connections().size(); });
  }
  /// Sends to the first client. False: the event did not fit.
  bool send_event(const std::string& bytes) {
    return call([&](qb_server& s) {
      return ::qb_ipcs_event_send(s.connections().at(0), bytes.data(), bytes.size()) ==
             static_cast<ssize_t>(bytes.size());
    });
  }

 private:
  void run(std::int32_t admission, std::uint32_t least_buffer) {
    loop_.enter();
    {
      qb_server server(name_, admission, least_buffer);
      while (!stop_.load(std::memory_order_relaxed)) {
        loop_.turn(-1);
        std::vector<std::function<void(qb_server&)>> calls;
        {
          const std::lock_guard lock(mutex_);
          calls.swap(calls_);
        }
        for (const auto& call : calls) {
          call(server);
        }
      }
    }
    loop_.turn(0);
  }

  std::string name_;
  server_loop loop_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<std::function<void(qb_server&)>> calls_;
  std::thread thread_;
};

/// Waits until `fd` is readable; false after 30 s.
inline bool wait_readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 30000) == 1;
}

}  // namespace cpgring::ipc::test
