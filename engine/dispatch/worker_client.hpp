// One reactor's side of the workers: queues items, takes reports, counts items in progress. Reactor thread
// only, unless marked "any thread".
//
// Reports alone do not wake a sleeping reactor, because most of them only free ring space, which can wait for
// the next event. If some or all reports are needed, the reactor says so before it sleeps (wake_on).
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "base/check.hpp"
#include "base/sleep_flag.hpp"
#include "dispatch/worker_link.hpp"
#include "dispatch/worker_pool.hpp"

namespace cpgring::dispatch {

/// Waits for room in the queue to a worker.
class room_waiter {
 public:
  virtual void on_room() = 0;

 protected:
  ~room_waiter() = default;
};

class worker_client {
 public:
  /// Call it before the pool's start(). `reactor`: number of this reactor. `wake`: wakes it, from any thread.
  worker_client(std::shared_ptr<worker_pool> pool, std::uint32_t reactor, std::function<void()> wake);
  ~worker_client() { workers_ended(); }
  worker_client(const worker_client&) = delete;
  worker_client& operator=(const worker_client&) = delete;

  /// Starts the threads; see worker_pool::start.
  result<void> start() { return pool_->start(); }

  [[nodiscard]] std::uint32_t workers() const noexcept { return static_cast<std::uint32_t>(links_.size()); }
  /// Number of further messages that the queue to this worker takes.
  [[nodiscard]] std::size_t room(std::uint32_t worker) const noexcept {
    return capacity_ - std::min(links_[worker]->messages, capacity_);
  }
  [[nodiscard]] bool has_room(std::uint32_t worker) const noexcept { return room(worker) != 0; }
  [[nodiscard]] bool has_room_for_call(std::uint32_t worker) const noexcept {
    return links_[worker]->calls < capacity_ && !ended_;
  }
  /// Calls who.on_room() once, when the queue to this worker has room again. Waiters are served in order.
  void wait_for_room(std::uint32_t worker, room_waiter& who) { waiting_[worker].push_back(&who); }
  /// Removes a waiter.
  void forget(const room_waiter& who) noexcept {
    for (auto& at_one : waiting_) {
      std::erase(at_one, &who);
    }
  }
  /// Messages queued to this worker and not yet reported.
  [[nodiscard]] std::size_t under_way(std::uint32_t worker) const noexcept {
    return links_[worker]->messages;
  }
  /// Messages and calls of all workers, not yet reported.
  [[nodiscard]] std::size_t under_way() const noexcept { return under_way_; }
  /// See worker_link::edit_unclaimed.
  template <class Edit>
  void edit_unclaimed(std::uint32_t worker, Edit&& edit) {
    links_[worker]->edit_unclaimed(std::forward<Edit>(edit));
  }
  /// Used by this worker's thread only.
  [[nodiscard]] leasing::callback_scratch& scratch_of(std::uint32_t worker) noexcept {
    return links_[worker]->scratch;
  }
  /// Only if has_room() or has_room_for_call(). A worker that is awake sees the item after publish(), one
  /// that sleeps after wake().
  void queue(std::uint32_t worker, const work_item& item) noexcept;
  void queue(std::uint32_t worker, exclusive_call one);
  void publish() noexcept;
  /// Wakes the workers that have new items. Call it at the end of each round of turns: one wake-up serves
  /// many handles.
  void wake() noexcept;

  /// Passes each report to its target (worker_target::done), then calls as many waiters for room as there is
  /// room for.
  void take_reports();
  [[nodiscard]] bool reports_waiting() noexcept;
  enum class wake_on { nothing, all_done, any_report };
  /// Before a sleep: which reports wake the reactor. all_done: the last report of a worker that has nothing
  /// left of this reactor. The reactor checks reports_waiting() once more afterwards.
  void arm(wake_on which) noexcept;
  void disarm() noexcept;

  /// After the pool's stop(): frees the copies made for callbacks that will not run. Reports can still be
  /// taken.
  void workers_ended() noexcept;

 private:
  const std::shared_ptr<worker_pool> pool_;
  const std::size_t capacity_;
  std::vector<worker_link*> links_;                // one to each worker
  std::vector<std::deque<room_waiter*>> waiting_;  // waiters for room, for each worker
  std::size_t under_way_ = 0;
  bool ended_ = false;
  wake_on armed_ = wake_on::nothing;
  base::sleep_flag any_report_, all_done_;
};

}  // namespace cpgring::dispatch
