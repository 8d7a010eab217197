// A reactor's side of the workers: hands items over, takes receipts back, knows what is under way. The reactor's thread, but for the bells.
//
// Receipts alone do not wake a sleeping reactor: most of them only give ring space back, which can wait for the next event. Where somebody
// waits for one (engine_core::count_awaiting) or for all of them, a bell is armed before each sleep.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "base/sleep_flag.hpp"
#include "dispatch/feed.hpp"
#include "dispatch/worker_pool.hpp"

namespace cpgring::runtime {

class endpoint;

class crew {
 public:
  /// For reactor number `reactor` of those that share the pool, before its start(). `wake`: wakes that reactor from any thread.
  crew(std::shared_ptr<dispatch::worker_pool> pool, std::uint32_t reactor, std::function<void()> wake);
  ~crew() { workers_ended(); }
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;

  /// The threads; see worker_pool::start.
  result<void> start() { return pool_->start(); }

  [[nodiscard]] std::uint32_t workers() const noexcept { return static_cast<std::uint32_t>(feeds_.size()); }
  [[nodiscard]] bool has_room(std::uint32_t worker) const noexcept { return feeds_[worker]->messages < capacity_; }
  [[nodiscard]] bool has_room_for_errand(std::uint32_t worker) const noexcept { return feeds_[worker]->errands < capacity_ && !ended_; }
  /// Found none: `who` is told (endpoint::room_again) when some has come back. In the order in which they asked.
  void wait_for_room(std::uint32_t worker, std::shared_ptr<endpoint> who) { waiting_[worker].push_back(std::move(who)); }
  /// Messages.
  [[nodiscard]] std::size_t under_way(std::uint32_t worker) const noexcept { return feeds_[worker]->messages; }
  /// Of all workers.
  [[nodiscard]] std::size_t under_way() const noexcept { return under_way_; }
  /// See feed::edit_unclaimed.
  template <class Edit>
  void edit_unclaimed(std::uint32_t worker, Edit&& edit) {
    feeds_[worker]->edit_unclaimed(std::forward<Edit>(edit));
  }
  /// That worker's own.
  [[nodiscard]] dispatch::callback_room& room_of(std::uint32_t worker) noexcept { return feeds_[worker]->room; }
  /// Only where has_room(), has_room_for_errand(). Seen by a worker that is awake after publish(), by one that sleeps after wake().
  void hand(std::uint32_t worker, const dispatch::work_item& item) noexcept;
  void send(std::uint32_t worker, dispatch::errand one);
  void publish() noexcept;
  /// At the end of each round of turns: a worker is woken for what many handles had for it.
  void wake() noexcept;

  /// Calls take(receipt&) for each that has come, and resume(endpoint&) for as many of those who wait for room.
  template <class Take, class Resume>
  void take_receipts(Take&& take, Resume&& resume) {
    for (std::size_t i = 0; i < feeds_.size(); ++i) {
      dispatch::feed& f = *feeds_[i];
      auto& back = f.back_ends.out;
      std::size_t freed = 0;
      while (!back.empty()) {
        dispatch::receipt one = std::move(back.front());
        back.release(1);
        const std::size_t done = one.count == 0 ? 1 : one.count;
        (one.count == 0 ? f.errands : f.messages) -= done;
        under_way_ -= done;
        freed += done;
        take(one);
      }
      // Whoever is left has further receipts to wait for: with nothing under way all of them go.
      auto& waiting = waiting_[i];
      for (std::size_t left = f.messages + f.errands == 0 ? waiting.size() : std::min(freed, waiting.size()); left > 0; --left) {
        const std::shared_ptr<endpoint> who = std::move(waiting.front());
        waiting.pop_front();
        resume(*who);
      }
    }
  }
  [[nodiscard]] bool receipts_there() noexcept;
  enum class bell { none, all_done, any_receipt };
  /// Before a sleep from which receipts are to wake the reactor: any, or those of a worker that then has nothing left of this reactor's. It
  /// looks at receipts_there() once more behind it.
  void arm(bell which) noexcept;
  void disarm() noexcept;

  /// After the pool's stop(): copies that were made for callbacks which nobody runs any more go. Receipts can still be taken.
  void workers_ended() noexcept;

 private:
  const std::shared_ptr<dispatch::worker_pool> pool_;
  const std::size_t capacity_;
  std::vector<dispatch::feed*> feeds_;                          // to each worker
  std::vector<std::deque<std::shared_ptr<endpoint>>> waiting_;  // for room, at each worker
  std::size_t under_way_ = 0;
  bool ended_ = false;
  bell armed_ = bell::none;
  base::sleep_flag any_receipt_, all_done_;
};

}  // namespace cpgring::runtime
