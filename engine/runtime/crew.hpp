// A reactor's side of its workers: hands items over, takes receipts back, knows what is under way. The reactor's thread, but for the bell.
//
// Receipts alone do not wake a sleeping reactor: most of them only give ring space back, which can wait for the next event. Where somebody
// waits for one (expect_receipts()), the bell is armed before each sleep.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <cpgring/options.hpp>

#include "base/sleep_flag.hpp"
#include "dispatch/feed.hpp"
#include "dispatch/worker.hpp"

namespace cpgring::runtime {

class crew {
 public:
  /// Starts options.workers threads. `wake`: wakes the reactor from any thread.
  crew(const engine_options& options, const std::function<void()>& wake);
  ~crew() { stop(); }

  [[nodiscard]] std::uint32_t workers() const noexcept { return static_cast<std::uint32_t>(feeds_.size()); }
  [[nodiscard]] bool has_room(std::uint32_t worker) noexcept {
    // A receipt can be here before its cell is free again, so both are looked at.
    dispatch::feed& f = *feeds_[worker];
    return f.under_way < capacity_ && f.work_ends.in.room() != 0;
  }
  [[nodiscard]] std::size_t under_way(std::uint32_t worker) const noexcept { return feeds_[worker]->under_way; }
  /// Of all workers.
  [[nodiscard]] std::size_t under_way() const noexcept { return under_way_; }
  /// See feed::edit_unclaimed.
  template <class Edit>
  void edit_unclaimed(std::uint32_t worker, Edit&& edit) {
    feeds_[worker]->edit_unclaimed(std::forward<Edit>(edit));
  }
  /// That worker's own.
  [[nodiscard]] dispatch::callback_room& room_of(std::uint32_t worker) noexcept { return feeds_[worker]->room; }
  /// Only where has_room(). Seen by the worker after publish().
  void hand(std::uint32_t worker, const dispatch::work_item& item) noexcept;
  void send(std::uint32_t worker, dispatch::errand one);
  void publish() noexcept;

  /// Calls take(receipt&) for each that has come.
  template <class Take>
  void take_receipts(Take&& take) {
    for (auto& f : feeds_) {
      auto& back = f->back_ends.out;
      while (!back.empty()) {
        dispatch::receipt one = std::move(back.front());
        back.release(1);
        const std::size_t done = one.count == 0 ? 1 : one.count;
        f->under_way -= done;
        under_way_ -= done;
        take(one);
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
  std::size_t under_way_ = 0;
  bool bell_armed_ = false;
  base::sleep_flag bell_;
};

}  // namespace cpgring::runtime
