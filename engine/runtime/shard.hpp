// One reactor thread of an engine: its handles and links, the intake for other threads, the dispatch loop.
//
// Driving thread only, unless marked "any thread". Shared by the engine and all its handles: a handle that
// outlives its engine finds a stopped shard. Most engines have one; see engine_impl.hpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
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
#include "base/visited.hpp"
#include "delivery/alarms.hpp"
#include "delivery/shard_resources.hpp"
#include "delivery/task_source.hpp"
#include "dispatch/intake_queue.hpp"
#include "dispatch/mode_policy.hpp"
#include "reactor/reactor.hpp"
#include "runtime/handle_core.hpp"
#include "runtime/shard_group.hpp"

namespace cpgring::runtime {

class shard final : public std::enable_shared_from_this<shard>, private link_host {
 public:
  /// Number `index` of options.reactors. `workers`: null if callbacks run inline. `time`: for tests.
  shard(engine_options options, std::uint32_t index, const std::shared_ptr<dispatch::worker_pool>& workers,
        std::shared_ptr<shard_group> all, base::shard_clock::source time = &base::clock::now);
  ~shard();

  // --- any thread ------------------------------------------------------------------------------------------
  [[nodiscard]] const engine_options& options() const noexcept { return options_; }
  [[nodiscard]] shard_group& group() noexcept { return *all_; }
  /// `id`: no other handle of the engine has it. Precondition: `options` are valid.
  result<std::shared_ptr<handle_core>> open(std::uint64_t id, handle_options options,
                                            std::shared_ptr<const callbacks> calls);
  /// The calling thread drives the shard.
  [[nodiscard]] bool on_driver_thread() const noexcept {
    return driver_.load(std::memory_order_relaxed) == thread_tag();
  }
  /// A thread has begun to drive the shard.
  [[nodiscard]] bool driven() const noexcept { return driver_.load(std::memory_order_relaxed) != 0; }
  /// The calling thread drives the shard and is inside one of its callbacks.
  [[nodiscard]] bool inside_here() const noexcept { return on_driver_thread() && inside_; }
  /// An error in a child process, and for handles that have outlived the engine.
  result<void> alive() const;
  /// errc::stopped, with the reason if the engine has stopped by itself.
  failure stopped_error() const;
  result<void> post(function<void()> task);
  /// Runs `task` on the driving thread, before events, and not counted as one.
  result<void> cross(function<void()> task);
  /// A multicast from another thread; its payload is copied.
  result<void> submit_multicast(handle_core& to, dispatch::intake_queue::pieces payload, std::size_t bytes);
  result<void> submit_confirmed(handle_core& to, std::span<const std::byte> payload,
                                base::time_point deadline, confirmation done);
  /// The intake was full: makes the driving thread check the flags of every handle.
  void check_all_handles() noexcept;
  void stop() noexcept;
  /// The first half of stop(): no thread is woken.
  void request_stop() noexcept { shared_.stop_requested.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool stop_requested() const noexcept {
    return shared_.stop_requested.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool in_child() const noexcept { return fork_guard_.in_child(); }
  [[nodiscard]] engine_stats stats() const noexcept;
  /// Adds the handles of the registry to `all`.
  void add_handles(std::vector<std::shared_ptr<handle_core>>& all) const;
  void log(log_level level, std::string_view text) const override {
    if (options_.log) {
      options_.log(level, text);
    }
  }

  // --- driving ---------------------------------------------------------------------------------------------
  result<void> start();
  result<dispatched> dispatch(mode how, budget limit, handle_core* only);
  result<int> fd();
  /// `interval` 0: once.
  result<scheduled_task> schedule(base::time_point when, base::nanoseconds interval, function<void()> task);
  void cancel(const std::shared_ptr<delivery::alarm_state>& which) noexcept;
  /// Detaches the thread, for an engine that is never destroyed.
  void detach_thread();

  // --- driving thread: for handles -------------------------------------------------------------------------
  [[nodiscard]] link_host& host() noexcept { return *this; }
  [[nodiscard]] reactor::reactor& loop() noexcept override { return *reactor_; }
  [[nodiscard]] delivery::shard_resources& shared() noexcept { return shared_; }
  [[nodiscard]] cpg::multicast_pool& multicasts() noexcept { return multicasts_; }
  /// The worker that runs the exclusive calls of a handle.
  [[nodiscard]] std::uint32_t home_worker(std::uint64_t handle_id) const noexcept;
  /// Like log(), but of each cause only the first line is written at once; further ones are summed up.
  void log_limited(log_level level, base::limited_log::cause why, std::string_view text);
  /// A handle is lost for good. `heard`: it has an on_state callback.
  void record_loss(const error& why, bool heard);
  /// A handle has connected to the service, or was lost with it; see engine_options::on_service.
  std::uint64_t service_up(const std::string& name);
  void service_gone(const std::string& name, std::uint64_t life, const error& why);
  /// Queues one event that runs `task`, on behalf of handle `of` (0: of the engine).
  void add_task(std::uint64_t of, function<void()> task);
  /// Multicasts share their doorbells: inside a callback, and while a send_batch exists.
  [[nodiscard]] bool batching() const noexcept { return inside_ || batches_ != 0; }
  void begin_batch() noexcept { ++batches_; }
  void end_batch();
  /// Queues a further link of a handle for its handshake.
  void queue_link(std::shared_ptr<handle_core> of, std::unique_ptr<link> which, base::time_point deadline);
  /// Removes the handle from the registry.
  void retire(handle_core& which);

 private:
  friend class shutdown;  // the end of an engine, step by step
  struct loss_log_timer;
  struct opening {
    std::shared_ptr<handle_core> who;
    base::time_point deadline;
  };
  struct owned_link {  // the link is destroyed first, because it refers to its handle
    std::shared_ptr<handle_core> of;
    std::unique_ptr<link> which;
  };
  struct queued_link {
    link* which;
    base::time_point deadline;
  };
  using visit = base::visited<reactor::reactor>::visit;

  static std::uintptr_t thread_tag() noexcept;
  void wake() const noexcept;
  result<void> push(std::uint32_t kind, std::uint64_t id, dispatch::intake_queue::pieces payload,
                    std::size_t bytes);
  template <class Request>
  result<void> push_pointer(std::uint32_t kind, std::uint64_t id, std::unique_ptr<Request>& request);
  static bool take_intake(void* self);
  static bool intake_pending(void* self) noexcept;
  void take_record(std::uint32_t kind, std::uint64_t id, std::span<const std::byte> payload);
  void take_open(opening one);
  void take_last_records();
  void refuse_multicast(std::uint64_t id, confirmation done, error why);
  void serve_flags();

  // link_host
  void handshake_ended() override;
  void add_task(link& of, function<void()> task) override;
  void mark_dirty(link& which) override { dirty_.push_back(&which); }
  void flush_dirty() override;
  void sweep_later(link& which) override;
  void keep(std::shared_ptr<handle_core> of, std::unique_ptr<link> which);
  void begin_handshakes();
  void sweep();

  result<void> enter();
  result<void> bind();
  void own_thread(std::promise<result<void>>& bound);
  result<void> check_backend();
  void serve(dispatch::mode_policy& policy, std::uint64_t pass, handle_core* only, bool& more);
  enum class next { again, done, rest };
  [[nodiscard]] next after_round(dispatch::mode_policy& policy, bool more);
  result<void> dispatch_rounds(dispatch::mode_policy& policy, handle_core* only);
  void rest(base::time_point until, const reactor::source* only, bool for_all_reports = false);
  void wait_for_workers();
  [[nodiscard]] bool is_exhausted();
  [[nodiscard]] static reactor::source* source_of(handle_core* only) noexcept;

  const engine_options options_;
  const std::uint32_t index_;
  const bool cpu_to_spare_;             // while workers are busy
  const std::uint32_t handshakes_max_;  // of this shard
  const std::shared_ptr<shard_group> all_;
  base::fork_guard fork_guard_;
  delivery::shard_resources shared_;
  dispatch::intake_queue intake_;

  // Any thread.
  base::visited<reactor::reactor> visited_;  // by threads that push a request or wake the reactor
  std::atomic<std::uintptr_t> driver_{0};
  std::atomic<bool> own_thread_{false};
  std::atomic<bool> flags_set_{false};  // some handle has set a flag for the driving thread
  std::atomic<wakeup> backend_{wakeup::automatic};
  std::mutex life_;                   // start() against the end
  mutable std::mutex registry_lock_;  // changes of the registry against stats(); not on the message path
  std::thread thread_;
  base::counter handles_, crossings_;

  // The driving thread.
  std::unique_ptr<reactor::reactor> reactor_;
  cpg::multicast_pool multicasts_;  // outlives all handles
  delivery::task_source tasks_;
  delivery::alarms alarms_;
  std::unordered_map<std::uint64_t, std::shared_ptr<handle_core>> registry_;
  handle_stats retired_totals_;
  std::unordered_map<const link*, owned_link> links_;
  std::deque<queued_link> queued_;
  std::vector<link*> dirty_;  // their doorbells are to be rung
  std::vector<link*> ended_;  // to be swept
  std::uint64_t pass_ = 0;
  std::uint32_t handshakes_ = 0;
  std::uint32_t batches_ = 0;  // send_batches that exist
  bool beginning_handshakes_ = false;
  bool inside_ = false;
  bool foreign_loop_ = false;
  base::limited_log loss_log_;
  const std::unique_ptr<reactor::timer> loss_log_timer_;
  std::optional<error> last_loss_;  // why the last handle was lost for good
  bool loss_reported_ = false;
};

}  // namespace cpgring::runtime
