// The loop that libqb's server runs on: epoll, jobs, one timer. libqb's own qb_loop keeps process-wide state (its signal pipe), which
// several services in one process would tear from each other; its server takes any loop.
//
// One thread: that of run(). libqb's handlers carry no context, so a thread has at most one loop: current().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include <qb/qbipcs.h>

#include "base/clock.hpp"
#include "base/owned.hpp"

namespace cpgring::service {

class event_loop {
 public:
  event_loop();  // throws std::system_error
  ~event_loop();
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;

  static event_loop* current() noexcept;
  /// What libqb is to call.
  static qb_ipcs_poll_handlers handlers() noexcept;

  /// From here on this loop is the calling thread's.
  void enter() noexcept;
  /// Runs on this thread until stop().
  void run();
  /// Any thread.
  void stop() noexcept;
  /// `tick` is called once, not before `pause` has passed; replaces an earlier one.
  void tick_after(base::nanoseconds pause, std::function<void()> tick);
  /// Runs what has been put off, without waiting for anything; for the end.
  void run_jobs();

 private:
  struct watch {
    void* data = nullptr;
    qb_ipcs_dispatch_fn_t dispatch = nullptr;
    std::uint64_t generation = 0;
  };
  struct job {
    void* data;
    qb_loop_job_dispatch_fn run;
  };

  static std::int32_t add_job(qb_loop_priority, void* data, qb_loop_job_dispatch_fn run);
  static std::int32_t add(qb_loop_priority, std::int32_t fd, std::int32_t events, void* data, qb_ipcs_dispatch_fn_t dispatch);
  static std::int32_t modify(qb_loop_priority, std::int32_t fd, std::int32_t events, void* data, qb_ipcs_dispatch_fn_t dispatch);
  static std::int32_t remove(std::int32_t fd);
  std::int32_t control(int operation, std::int32_t fd, std::int32_t events, const watch& w);
  int wait_ms() const;

  base::unique_fd epoll_;
  base::unique_fd stop_fd_;
  std::unordered_map<std::int32_t, watch> watches_;
  std::vector<job> jobs_;
  std::uint64_t generations_ = 0;
  std::optional<base::time_point> tick_at_;
  std::function<void()> tick_;
  bool stopping_ = false;
};

}  // namespace cpgring::service
