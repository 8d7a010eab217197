// The loop that libqb's server runs on: epoll, jobs, timers. libqb's own qb_loop keeps process-wide state (its signal pipe), which
// several services in one process would tear from each other; its server takes any loop.
//
// One thread: that of run(). libqb's handlers carry no context, so a thread has at most one loop: current(). Other threads stop() and
// post().
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

#include <cpgring/error.hpp>

#include "base/clock.hpp"
#include "base/closed_in_child.hpp"
#include "base/owned.hpp"

namespace cpgring::service {

class event_loop {
 public:
  /// Hears of connections between their acceptance and the end of libqb's handshake. On the loop's thread.
  class gatekeeper {
   public:
    /// `fd` has been accepted. False: it is closed at once. May hang_up() on others.
    virtual bool may_begin(std::int32_t fd) = 0;
    /// Its handshake has ended, in whatever way.
    virtual void ended(std::int32_t fd) = 0;
    /// Nobody is accepted for a moment.
    virtual void out_of_descriptors() = 0;

   protected:
    ~gatekeeper() = default;
  };

  event_loop();  // throws std::system_error
  ~event_loop();
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;

  static event_loop* current() noexcept;
  /// What libqb is to call.
  static qb_ipcs_poll_handlers handlers() noexcept;

  /// For all that is accepted from here on; null: nobody asks.
  void set_gatekeeper(gatekeeper* who) noexcept { gatekeeper_ = who; }
  /// The sockets that clients connect to name the process's present ids to them.
  result<void> renew_credentials();
  /// The descriptor whose report is being handled; -1: none.
  [[nodiscard]] std::int32_t reporting() const noexcept { return reporting_; }
  /// How many reports there were.
  [[nodiscard]] std::uint64_t reports() const noexcept { return reports_; }
  /// As if the peer of `fd` had hung up.
  void hang_up(std::int32_t fd);

  /// From here on this loop is the calling thread's.
  void enter() noexcept;
  /// Runs on this thread until stop().
  void run();
  /// Any thread.
  void stop() noexcept;
  /// Any thread: `task` runs in the loop soon. False: the loop has ended, or is about to; it will not run.
  [[nodiscard]] bool post(std::function<void()> task);
  /// Behind what is reported at present; from handlers.
  void soon(void* data, qb_loop_job_dispatch_fn run) { jobs_.push_back({data, run}); }
  /// `tick` is called once, not before `pause` has passed.
  void tick_after(base::nanoseconds pause, std::function<void()> tick);
  /// Nothing but stop() and post() is looked at for so long, or until go_on(); then `after` is called.
  void stand_still(base::nanoseconds pause, std::function<void()> after);
  void go_on();
  /// The descriptor that libqb watches for its object `data`; -1: none. Looks at all of them.
  [[nodiscard]] std::int32_t descriptor_of(const void* data) const noexcept;
  /// libqb waits for room on the socket of its object `data`.
  [[nodiscard]] bool wants_output(const void* data) const noexcept { return !wanting_output_.empty() && wanting_output_.contains(data); }
  /// Until release_output(), room for output on `fd` is not reported, and what libqb wants to be told of does not reach the kernel.
  void hold_output(std::int32_t fd);
  void release_output(std::int32_t fd);
  /// Runs what has been put off, without waiting for anything; for the end.
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
  static std::int32_t add(qb_loop_priority, std::int32_t fd, std::int32_t events, void* data, qb_ipcs_dispatch_fn_t dispatch);
  static std::int32_t modify(qb_loop_priority, std::int32_t fd, std::int32_t events, void* data, qb_ipcs_dispatch_fn_t dispatch);
  static std::int32_t remove(std::int32_t fd);
  std::int32_t control(int operation, std::int32_t fd, std::int32_t events, const watch& w);
  void forget(std::int32_t fd);
  void report(std::uint64_t key, std::int32_t events);
  void dispatch(std::int32_t fd, const watch& w, std::int32_t events);
  [[nodiscard]] bool may_accept(std::int32_t fd, const watch& w);
  void be_woken();
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
  base::time_point standing_until_{};
  std::function<void()> after_standing_;
  std::mutex posted_lock_;  // of what other threads touch
  std::vector<std::function<void()>> posted_;
  bool stop_asked_ = false;
  bool stopping_ = false;
};

}  // namespace cpgring::service
