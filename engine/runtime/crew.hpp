// A reactor's side of its workers: hands items over, takes receipts back, knows what is under way. The reactor's thread, but for the bell.
//
// Receipts alone do not wake a sleeping reactor: most of them only give ring space back, which can wait for the next event. Where somebody
// waits for one (engine_core::count_awaiting), the bell is armed before each sleep.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include <cpgring/options.hpp>

#include "base/sleep_flag.hpp"
#include "dispatch/feed.hpp"
#include "dispatch/worker.hpp"

namespace cpgring::runtime {

class endpoint;

class crew {
 public:
  /// Starts options.workers threads. `wake`: wakes the reactor from any thread.
  crew(const engine_options& options, const std::function<void()>& wake);
  ~crew() { stop(); }

  [[nodiscard]] std::uint32_t workers() const noexcept { return static_cast<std::uint32_t>(feeds_.size()); }
  [[nodiscard]] bool has_room(std::uint32_t worker) const noexcept { return feeds_[worker]->messages < capacity_; }
  [[nodiscard]] bool has_room_for_errand(std::uint32_t worker) const noexcept {
    return feeds_[worker]->errands < capacity_ && !workers_.empty();
  }
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
  /// Only where has_room(), has_room_for_errand(). Seen by the worker after publish().
  void hand(std::uint32_t worker, const dispatch::work_item& item) noexcept;
  void send(std::uint32_t worker, dispatch::errand one);
  void publish() noexcept;

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
  /// Before a sleep in which a receipt is to wake the reactor; it looks at receipts_there() once more behind it.
  void arm_bell() noexcept {
    bell_.announce();
    bell_armed_ = true;
  }
  void disarm_bell() noexcept {
    bell_armed_ = false;
    bell_.awake();
  }

  /// Waits for the callbacks that run now; the others are not run, and copies that were made for them go. Receipts can still be taken.
  void stop() noexcept;

 private:
  const std::size_t capacity_;
  std::vector<std::unique_ptr<dispatch::feed>> feeds_;
  std::vector<std::unique_ptr<dispatch::worker>> workers_;
  std::vector<std::deque<std::shared_ptr<endpoint>>> waiting_;  // for room, at each worker
  std::size_t under_way_ = 0;
  bool bell_armed_ = false;
  base::sleep_flag bell_;
};

}  // namespace cpgring::runtime
