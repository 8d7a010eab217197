// Hands the callbacks of one handle over to workers. lane.hpp lists what the pump requires of a lane.
//
// Reactor thread only, except run_items and what is marked "any thread". Invariants:
// I1 An exclusive call (view, change of state, completion) runs only while nothing else of the handle is with
// a worker, and nothing after it is handed over before it is done.
// I2 What a worker reads stays claimed in the ring, or in a copy, until the report of the worker has come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

#include "cpg/session.hpp"
#include "delivery/shard_resources.hpp"
#include "delivery/turn.hpp"
#include "dispatch/worker_client.hpp"
#include "lease/chunk_ledger.hpp"
#include "lease/lease_table.hpp"

namespace cpgring::delivery {

class worker_lane final : public dispatch::worker_target, public dispatch::room_waiter {
 public:
  static constexpr bool on_workers = true;

  /// `home`: the worker that runs exclusive calls, and with ordering::by_handle all callbacks.
  worker_lane(const recipient& who, shard_resources& shared, leasing::chunk_ledger& ledger,
              leasing::lease_table& leases, cpg::session& session, pump_listener& listener,
              std::uint32_t home) noexcept
      : worker_target(&run_items, &report_came),
        who_(who),
        shared_(shared),
        workers_(*shared.workers),
        ledger_(ledger),
        leases_(leases),
        session_(session),
        listener_(listener),
        home_(home) {}
  ~worker_lane();

  [[nodiscard]] bool ready(turn& t);
  [[nodiscard]] std::uint32_t room() const noexcept;
  template <class GoesOn>
  batch_outcome messages(turn& t, std::string_view /*group*/, std::uint64_t& sequence,
                         GoesOn&& /*keep_going*/) {
    return queue_batch(t, sequence);
  }
  template <class F>
  std::optional<error> call(turn& /*t*/, F&& f, bool completes = false) {
    queue_call(std::forward<F>(f), completes);
    return std::nullopt;
  }
  void queue_call(function<void()> run, bool completes) { calls_.push_back({std::move(run), completes}); }
  [[nodiscard]] bool alone() const noexcept { return messages_ == 0 && !call_runs_; }
  [[nodiscard]] bool holds_message() const noexcept { return held_.has_value(); }
  [[nodiscard]] static std::size_t answers_at_once(const turn& /*t*/) noexcept { return calls_per_batch; }
  void flush() noexcept { workers_.publish(); }
  /// The scratch memory of the worker that runs exclusive calls.
  [[nodiscard]] leasing::callback_scratch& scratch() noexcept { return workers_.scratch_of(home_); }

  /// The end of a turn. True: nothing can be handed over, whatever the ring holds; can_continue() follows.
  /// `fence`: an event waits until the handle is alone.
  [[nodiscard]] bool blocked(bool fence);
  /// Makes the next report wake the reactor, if `other_need` is true or the lane itself needs the report.
  void await_reports(bool other_need);
  [[nodiscard]] bool idle() const noexcept { return alone() && calls_.empty(); }
  [[nodiscard]] bool calls_waiting() const noexcept { return !calls_.empty(); }
  [[nodiscard]] std::uint64_t messages_out() const noexcept { return messages_; }
  /// Drops the exclusive calls that complete no request.
  void forget_callbacks() noexcept {
    std::erase_if(calls_, [](const waiting_call& one) { return !one.completes; });
  }
  /// The handle ends: the message that waits for room is dropped. Returns its confirmation; null: it has
  /// none.
  [[nodiscard]] cpg::queued_multicast* drop_held() noexcept;
  /// Workers start no further callback of this handle. Any thread.
  void stop_callbacks() noexcept { stopped_.store(true, std::memory_order_relaxed); }
  /// After the last turn: sends the next exclusive call once the handle is alone.
  void send_remaining_calls();
  /// The workers have ended: everything that they had counts as done.
  void workers_ended() noexcept;

  // --- overload: copies of what workers have not started ---------------------------------------------------
  /// Copies all messages out of the ring that workers have not started, up to the handle's limit.
  void copy_out();
  /// A copy of an event, counted in the handle's limit. Null: the limit or memory is exhausted.
  [[nodiscard]] std::byte* copy_of(const std::byte* bytes, std::size_t size);
  void free_copy(std::byte* copy, std::uint32_t capacity);
  [[nodiscard]] std::size_t copy_bytes() const noexcept { return copy_bytes_; }
  [[nodiscard]] std::uint64_t copied_out() const noexcept { return copied_out_; }
  [[nodiscard]] std::uint64_t copied_out_bytes() const noexcept { return copied_out_bytes_; }
  void free_held_copy();

  void on_room() override;

 private:
  // Completions in one exclusive call: most of their cost is the way to the worker and back.
  static constexpr std::uint32_t calls_per_batch = 32;
  // Messages that are queued before the workers see them: enough for cheap wake-ups, few enough for an early
  // start.
  static constexpr std::uint32_t publish_every = 32;

  struct waiting_call {
    function<void()> run;
    bool completes = false;
  };
  struct held_message {  // the queue of its worker is full
    std::uint32_t worker;
    dispatch::work_item item;
  };

  batch_outcome queue_batch(turn& t, std::uint64_t& sequence);
  bool queue_message(turn& t, std::uint32_t worker, const dispatch::work_item& item);
  [[nodiscard]] std::optional<std::uint32_t> worker_for(const dispatch::work_item& item,
                                                        std::optional<error>& thrown);
  std::uint32_t send_call(std::uint32_t most);
  void wait_for_room(std::uint32_t worker);
  void copy_item(dispatch::work_item& item);
  void report(dispatch::work_done& one);
  static void report_came(worker_target& self, dispatch::work_done& one);
  static std::uint32_t run_items(worker_target& self, dispatch::worker_link& from, std::uint32_t first,
                                 std::uint32_t count);
  struct run;

  const recipient& who_;
  shard_resources& shared_;
  dispatch::worker_client& workers_;
  leasing::chunk_ledger& ledger_;
  leasing::lease_table& leases_;
  cpg::session& session_;
  pump_listener& listener_;
  const std::uint32_t home_;
  std::deque<waiting_call> calls_;
  std::optional<held_message> held_;
  std::uint64_t messages_ = 0;    // with workers, report not yet taken
  std::uint64_t copies_ = 0;      // of messages_, those in a copy
  std::uint64_t uncopyable_ = 0;  // of messages_, those that could not be copied at the last attempt
  std::size_t copy_bytes_ = 0;    // in use now by this handle
  std::uint64_t copied_out_ = 0, copied_out_bytes_ = 0;
  bool call_runs_ = false;
  bool waits_for_room_ = false;
  bool awaits_reports_ = false;
  std::atomic<bool> stopped_{false};
};

}  // namespace cpgring::delivery
