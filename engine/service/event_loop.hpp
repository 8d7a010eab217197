// The event loop of libqb's server: epoll, jobs and timers. libqb's own qb_loop keeps process-wide state (its
// signal pipe), so several services in one process would disturb each other. libqb's server accepts any loop.
//
// Only the thread of run(), except stop() and post(): any thread. libqb's poll handlers get no context, so a
// thread has at most one loop: current().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <qb/qbipcs.h>

#include <cpgring/result.hpp>

#include "base/clock.hpp"
#include "base/closed_in_child.hpp"
#include "base/owned.hpp"

namespace cpgring::service {

class event_loop {
 public:
  /// Told about connections between accept() and the end of libqb's handshake. Loop thread only.
  class gatekeeper {
   public:
    /// `fd` has been accepted. False: it is closed at once. May call hang_up() for other connections.
    virtual bool may_begin(std::int32_t fd) = 0;
    /// The handshake of `fd` has ended, successfully or not.
    virtual void ended(std::int32_t fd) = 0;
    /// No file descriptor is free, so no connection is accepted for a while.
    virtual void out_of_descriptors() = 0;

   protected:
    ~gatekeeper() = default;
  };

  event_loop();  // throws std::system_error
  ~event_loop();
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;

  static event_loop* current() noexcept;
  /// The functions that libqb calls.
  static qb_ipcs_poll_handlers handlers() noexcept;

  /// Applies to all connections that are accepted from now on; null: none is asked.
  void set_gatekeeper(gatekeeper* who) noexcept { gatekeeper_ = who; }
  /// Makes the listening sockets present the process's current ids to clients.
  result<void> renew_credentials();
  /// The descriptor whose event is being handled; -1: none.
  [[nodiscard]] std::int32_t reporting() const noexcept { return reporting_; }
  /// Number of events handled so far.
  [[nodiscard]] std::uint64_t reports() const noexcept { return reports_; }
  /// Handles `fd` as if its peer had closed the connection.
  void hang_up(std::int32_t fd);

  /// Makes this the calling thread's current().
  void enter() noexcept;
  /// Runs on the calling thread until stop().
  void run();
  /// Any thread.
  void stop() noexcept;
  /// Any thread: schedules `task` to run in the loop. False: the loop has ended or is about to; `task` will
  /// not run.
  [[nodiscard]] bool post(std::function<void()> task);
  /// Runs `run(data)` after the events that are being handled. To be called from handlers.
  void soon(void* data, qb_loop_job_dispatch_fn run) { jobs_.push_back({data, run}); }
  /// Calls `tick` once, after at least `pause`.
  void call_after(base::nanoseconds pause, std::function<void()> tick);
  /// For `length`, or until resume(), the loop handles nothing but stop() and post(). Then it calls `after`.
  void pause(base::nanoseconds length, std::function<void()> after);
  void resume();
  /// The descriptor that libqb watches for its object `data`; -1: none. Takes time linear in the number of
  /// descriptors.
  [[nodiscard]] std::int32_t descriptor_of(const void* data) const noexcept;
  /// True while libqb waits until the socket of its object `data` is writable.
  [[nodiscard]] bool wants_output(const void* data) const noexcept {
    return !wanting_output_.empty() && wanting_output_.contains(data);
  }
  /// Until release_output(), libqb's changes to what it wants reported for `fd` are recorded but not passed
  /// to the kernel, so that a wait for room on `fd` is not answered.
  void hold_output(std::int32_t fd);
  void release_output(std::int32_t fd);
  /// Runs the deferred jobs without waiting for events. Public for shutdown.
  void run_jobs();

 private:
  enum class role { listener, handshake, client };
  struct watch {
    void* data = nullptr;
    qb_ipcs_dispatch_fn_t dispatch = nullptr;
    std::uint64_t generation = 0;
    std::int32_t events = 0;
    bool output_held = false;
    role what = role::client;
    base::closed_in_child in_child;
  };
  struct job {
    void* data;
    qb_loop_job_dispatch_fn run;
  };

  static std::int32_t add_job(qb_loop_priority, void* data, qb_loop_job_dispatch_fn run);
  static std::int32_t add(qb_loop_priority, std::int32_t fd, std::int32_t events, void* data,
                          qb_ipcs_dispatch_fn_t dispatch);
  static std::int32_t modify(qb_loop_priority, std::int32_t fd, std::int32_t events, void* data,
                             qb_ipcs_dispatch_fn_t dispatch);
  static std::int32_t remove(std::int32_t fd);
  std::int32_t control(int operation, std::int32_t fd, std::int32_t events, const watch& w);
  void forget(std::int32_t fd);
  void report(std::uint64_t key, std::int32_t events);
  void dispatch(std::int32_t fd, const watch& w, std::int32_t events);
  [[nodiscard]] bool may_accept(std::int32_t fd, const watch& w);
  void on_wake();
  void run_due();
  [[nodiscard]] bool standing() const noexcept { return after_standing_ != nullptr; }
  int wait_ms() const;

  base::unique_fd epoll_;
  base::unique_fd wake_fd_;
  base::closed_in_child epoll_in_child_;
  std::unordered_map<std::int32_t, watch> watches_;
  std::unordered_set<const void*> wanting_output_;
  std::vector<job> jobs_;
  std::uint64_t generations_ = 0;
  gatekeeper* gatekeeper_ = nullptr;
  std::int32_t reporting_ = -1;
  role reporting_role_ = role::client;
  std::uint64_t reports_ = 0;
  std::multimap<base::time_point, std::function<void()>> ticks_;
  base::time_point paused_until_{};
  std::function<void()> after_standing_;
  std::mutex posted_lock_;  // guards posted_ and stop_asked_
  std::vector<std::function<void()>> posted_;
  bool stop_asked_ = false;
  bool stopping_ = false;
};

}  // namespace cpgring::service
