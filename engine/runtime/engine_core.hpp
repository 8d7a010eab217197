// One reactor of an engine: its endpoints, the way in for other threads, the dispatch loop. Most engines have just one; see fleet.hpp.
//
// One thread drives it; "any thread" is marked. Shared by the engine object and all handles: a handle that outlives its engine finds a
// stopped core.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <cpgring/engine.hpp>

#include "base/clock.hpp"
#include "base/counter.hpp"
#include "base/fork_guard.hpp"
#include "base/limited_log.hpp"
#include "cpg/session.hpp"
#include "dispatch/copy_pool.hpp"
#include "dispatch/intake_queue.hpp"
#include "dispatch/lessor.hpp"
#include "dispatch/mode_policy.hpp"
#include "reactor/reactor.hpp"
#include "runtime/task_source.hpp"

namespace cpgring::dispatch {
class worker_pool;
}

namespace cpgring::runtime {

class crew;
class endpoint;

/// Sums up, but for what is a maximum.
void add_to(handle_stats& sum, const handle_stats& one) noexcept;

/// The reactors of one engine as each of them knows the others: where one cannot go on, none does. Any thread.
class team {
 public:
  /// Before any of them is driven.
  void add(const std::shared_ptr<engine_core>& one) { members_.push_back(one); }
  /// Keeps the first error, and stops all.
  void fail_all(const error& why);
  /// What fail_all() kept.
  [[nodiscard]] result<void> state() const;

 private:
  std::vector<std::weak_ptr<engine_core>> members_;
  mutable std::mutex lock_;
  result<void> state_;
};

class engine_core final : public std::enable_shared_from_this<engine_core> {
 public:
  /// Number `index` of options.reactors. `workers`: null where callbacks run inline.
  engine_core(engine_options options, std::uint32_t index, const std::shared_ptr<dispatch::worker_pool>& workers,
              std::shared_ptr<team> all);
  ~engine_core();

  // --- any thread ------------------------------------------------------------------------------------------------------------
  [[nodiscard]] const engine_options& options() const noexcept { return options_; }
  /// Under a number that no other handle of the engine has.
  result<std::shared_ptr<endpoint>> open(std::uint64_t id, handle_options options, callbacks calls);
  /// The calling thread is the one that drives the engine.
  [[nodiscard]] bool on_driver_thread() const noexcept { return driver_.load(std::memory_order_relaxed) == self_tag(); }
  /// The calling thread drives this reactor and is inside one of its callbacks.
  [[nodiscard]] bool inside_here() const noexcept { return on_driver_thread() && inside_; }
  /// Refuses calls of a child process and of handles that outlived the engine.
  result<void> alive() const;
  static result<void> gone();
  /// errc::stopped, with the reason where the engine has stopped by itself.
  tl::unexpected<error> has_stopped() const;
  result<void> post(std::function<void()> task);
  /// Runs `task` on the driving thread, ahead of events, not counted as one.
  result<void> cross(std::function<void()> task);
  /// A multicast from another thread; its bytes are copied.
  result<void> cross_multicast(endpoint& to, dispatch::intake_queue::pieces payload, std::size_t bytes);
  /// The same, to be told of.
  result<void> cross_confirmed(endpoint& to, std::span<const std::byte> payload, base::time_point deadline, handle::confirmation done);
  /// The intake was full: have the driving thread look at every endpoint's flags.
  void look_at_all() noexcept;
  void stop() noexcept;
  /// The first half of stop(): nobody is woken for it yet.
  void no_more() noexcept { stopped_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool stop_requested() const noexcept { return stopped_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool in_child() const noexcept { return fork_guard_.in_child(); }
  [[nodiscard]] engine_stats stats() const noexcept;
  void log(log_level level, std::string_view text) const {
    if (options_.log) {
      options_.log(level, text);
    }
  }

  // --- driving ---------------------------------------------------------------------------------------------------------------
  result<void> start();
  result<dispatched> dispatch(mode how, budget limit, endpoint* only);
  result<int> fd();
  result<void> after(std::chrono::nanoseconds delay, std::function<void()> task);

  /// For an engine that is kept for ever: nobody will wait for its thread.
  void detach_thread();

  // --- the end, step by step: fleet::shut_down. Not inside a callback ----------------------------------------------------------
  /// After stop(): own thread joined, no other thread wakes the reactor any more.
  void end_driving();
  /// After the workers' end: the reactor goes; every service is asked for FINALIZE.
  void begin_closing(base::time_point deadline);
  /// How many have not answered yet.
  std::size_t still_closing();
  /// Lets go of every connection, answered or not. Says what was not sent; whoever is owed an answer gets one.
  void end_closing(shutdown_report& report);

  // --- driving thread: for endpoints -----------------------------------------------------------------------------------------
  /// As log(); of one cause the first line is said at once, further ones are summed up.
  void log_limited(log_level level, base::limited_log::cause why, std::string_view text);
  /// A handle is lost for good; `heard`: it has an on_state.
  void note_loss(const error& why, bool heard);
  [[nodiscard]] reactor::reactor& reactor() noexcept { return *reactor_; }
  [[nodiscard]] base::time_point now() const noexcept { return reactor_ ? reactor_->now() : base::clock::now(); }
  /// One event to run, in the name of endpoint `of` (0: the engine's).
  void add_task(std::uint64_t of, std::function<void()> task);
  [[nodiscard]] bool has_tasks_of(std::uint64_t of) const noexcept { return tasks_.has_any_of(of); }
  /// The endpoint has something to do beyond its ring.
  void touch(endpoint& which);
  void connect_done();
  /// Null: callbacks run on the driving thread.
  [[nodiscard]] crew* workers() noexcept { return crew_.get(); }
  /// Of the callbacks that run on the driving thread.
  [[nodiscard]] dispatch::callback_room& callback_room() noexcept { return callback_room_; }
  [[nodiscard]] dispatch::copy_pool& copies() noexcept { return copies_; }
  [[nodiscard]] cpg::session::outbox_room& outbox_room() noexcept { return outbox_room_; }
  /// Somebody waits (or no longer waits) for workers' receipts: they wake a sleeping reactor.
  void count_awaiting(bool more) noexcept { awaiting_ += more ? 1U : UINT32_MAX; }
  /// It has ended, but not yet for the workers.
  void await_end_of(endpoint& which);
  /// It has ended with somebody to be told of a multicast.
  void await_told(endpoint& which);
  /// True once.
  bool first_crowd() noexcept { return !std::exchange(crowd_seen_, true); }
  /// Multicasts wait for others to share their doorbell: inside a callback, or while a send_batch lives.
  [[nodiscard]] bool batching() const noexcept { return inside_ || batches_ != 0; }
  void begin_batch() noexcept { ++batches_; }
  void end_batch();
  /// Has staged multicasts that no turn of its own will flush: of other threads, of another handle's callback, of a send_batch.
  void staged_outside(endpoint& which) { staged_outside_.push_back(&which); }
  /// Sends them. At the end of each turn and of each batch of the intake.
  void flush_staged();
  /// In the registry `next` takes its place, and connects.
  void replace(endpoint& old, std::shared_ptr<endpoint> next);
  /// Takes it out of the registry; it stays alive until the present turn is over.
  void retire(endpoint& which);
  void linger_done(endpoint& which);

 private:
  struct alarm;
  struct losses_timer;
  struct opening_endpoint {
    std::shared_ptr<endpoint> who;
    base::time_point deadline;
  };

  static constexpr std::size_t copies_kept_max = std::size_t{1} << 20, copy_kept_max = std::size_t{64} << 10;

  static std::uintptr_t self_tag() noexcept;
  /// A thread that may push a request or use the reactor: end_driving() waits for it.
  class visit {
   public:
    explicit visit(const engine_core& of) noexcept : of_(of) {
      // SYNC reactor_alive: a visitor that is counted before it looks at shut_ or wakeable_ keeps end_driving() from going on; one that is
      // counted later finds both as end_driving() has left them.
      of_.visitors_.fetch_add(1, std::memory_order_seq_cst);
    }
    ~visit() {
      // SYNC reactor_alive: all use of the reactor, and whatever was pushed, comes before this.
      of_.visitors_.fetch_sub(1, std::memory_order_seq_cst);
    }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    /// What is pushed will be taken.
    // SYNC reactor_alive: see the constructor; a weaker load could be ahead of the count.
    [[nodiscard]] bool intake_is_open() const noexcept { return !of_.shut_.load(std::memory_order_seq_cst); }
    /// Null: there is none. It stays there during the visit.
    [[nodiscard]] reactor::reactor* reactor() const noexcept {
      // SYNC reactor_alive: seq_cst, so that a push before this either finds the reactor or is found by the reactor's first look at the
      // intake.
      return of_.wakeable_.load(std::memory_order_seq_cst);
    }
    void wake() const noexcept {
      if (auto* r = reactor()) {
        r->wake();
      }
    }

   private:
    const engine_core& of_;
  };
  void wake() const noexcept;
  result<void> push(std::uint32_t kind, std::uint64_t id, dispatch::intake_queue::pieces payload, std::size_t bytes);
  template <class Request>
  result<void> push_pointer(std::uint32_t kind, std::uint64_t id, std::unique_ptr<Request>& request);
  static bool take_intake(void* self);
  static bool intake_pending(void* self) noexcept;
  void take_record(std::uint32_t kind, std::uint64_t id, std::span<const std::byte> payload);
  void take_last_records();
  void refuse(std::uint64_t id, handle::confirmation done, error why);
  void begin_connects();
  void clear_retired();
  result<void> enter();
  result<void> bind();
  void own_thread(std::promise<result<void>>& bound);
  result<void> keep_backend();
  void serve(dispatch::mode_policy& policy, std::uint64_t pass, endpoint* only, bool& more);
  void take_receipts();
  void rest(base::time_point until, const reactor::source* only, bool for_all_receipts = false);
  void wait_for_workers();
  void tell_the_last(shutdown_report& report);
  [[nodiscard]] bool nothing_can_come();

  const engine_options options_;
  const std::uint32_t index_;
  const bool cpu_to_spare_;             // while workers are busy
  const std::uint32_t handshakes_max_;  // of this reactor
  const std::shared_ptr<team> all_;
  base::fork_guard fork_guard_;
  dispatch::intake_queue intake_;

  // Any thread.
  std::atomic<reactor::reactor*> wakeable_{nullptr};
  mutable std::atomic<std::uint32_t> visitors_{0};
  std::atomic<std::uintptr_t> driver_{0};
  std::atomic<bool> own_thread_{false};
  std::atomic<bool> stopped_{false};
  std::atomic<bool> shut_{false};
  std::atomic<bool> sender_blocked_{false};
  std::atomic<wakeup> backend_{wakeup::automatic};
  std::mutex life_;                   // start against end_driving
  mutable std::mutex registry_lock_;  // changes of endpoints_ and retired_totals_ against stats(); never on a message's way
  std::thread thread_;
  base::counter handles_, crossings_;

  // The driving thread.
  std::unique_ptr<reactor::reactor> reactor_;
  std::unique_ptr<crew> crew_;
  dispatch::callback_room callback_room_;
  dispatch::copy_pool copies_{copies_kept_max, copy_kept_max};
  cpg::session::outbox_room outbox_room_;
  std::uint32_t awaiting_ = 0;
  std::vector<std::shared_ptr<endpoint>> ending_;   // ended, with something still at a worker
  std::vector<std::shared_ptr<endpoint>> parting_;  // replaced, and lingering
  std::vector<std::shared_ptr<endpoint>> telling_;  // ended, with somebody still to be told of a multicast
  std::vector<std::shared_ptr<endpoint>> closing_;  // at the end: FINALIZE is under way
  task_source tasks_;
  std::unordered_map<std::uint64_t, std::shared_ptr<endpoint>> endpoints_;
  handle_stats retired_totals_;
  std::deque<opening_endpoint> to_connect_;
  std::vector<endpoint*> staged_outside_;
  std::vector<std::shared_ptr<endpoint>> retired_, lingered_;  // ended in this turn; linger no longer
  std::unordered_map<alarm*, std::unique_ptr<alarm>> alarms_;
  std::uint64_t pass_ = 0;
  std::uint32_t handshakes_ = 0;
  std::uint32_t batches_ = 0;  // send_batches that live
  bool beginning_connects_ = false;
  bool inside_ = false;
  bool foreign_loop_ = false;
  bool crowd_seen_ = false;
  base::limited_log losses_;
  const std::unique_ptr<reactor::timer> losses_due_;
  std::optional<error> last_loss_;  // why the last handle was lost for good
  bool loss_heard_ = false;
};

}  // namespace cpgring::runtime
