// Detects that the callbacks of a handle are too slow: half of its ring stays in use.
//
// A burst that callbacks handle quickly is no overload; a ring that stays half full for check_interval is.
// Reactor thread only; time is passed in.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.hpp"
#include "delivery/handle_counters.hpp"
#include "ipc/ring_reader.hpp"

namespace cpgring::delivery {

class overload_watch {
 public:
  /// The ring is checked at this interval while hand-over is blocked: the time in which 250 MB/s fills half
  /// of a 1 MiB ring.
  static constexpr base::nanoseconds check_interval = std::chrono::milliseconds(2);

  /// Results are stored in `counters`.
  explicit overload_watch(handle_counters& counters) noexcept : counters_(counters) {
    counters_.ring_used.set(0);
    counters_.oldest_age_ns.set(0);
  }

  /// The start of a turn whose callbacks run in it: the ring's fill level now shows how far callbacks are
  /// behind. True: check() is due.
  bool turn_begins(const ipc::ring_reader& ring) noexcept {
    behind_ = read(ring) >= ring.capacity_bytes() / 2;
    return behind_ || half_since_ || warned_;
  }
  /// The end of such a turn. `left`: events remain in the ring. `took`: the time that its callbacks took.
  void turn_ended(bool left, base::nanoseconds took) noexcept {
    turn_took_ = left ? took : base::nanoseconds(0);
  }
  [[nodiscard]] base::nanoseconds callback_time() const noexcept { return turn_took_; }
  /// Chunks were reclaimed, or no chunk is claimed: the age starts again.
  void moved(base::time_point now) noexcept { moved_ = now; }
  [[nodiscard]] base::time_point last_moved() const noexcept { return moved_; }

  /// `stalled`: callbacks or leases hold chunks. `oldest_age`: the time since something was reclaimed.
  /// `copies`: bytes copied out of the ring for callbacks that have not run. True: the user is to be warned;
  /// once per overload episode.
  bool check(const ipc::ring_reader& ring, base::time_point now, bool stalled, base::nanoseconds oldest_age,
             std::size_t copies) noexcept {
    const std::uint32_t used = read(ring);
    counters_.oldest_age_ns.set(static_cast<std::uint64_t>(oldest_age.count()));
    const std::uint32_t size = ring.capacity_bytes();
    if (used < size / 2 || !(stalled || behind_)) {
      half_since_.reset();
      warned_ = warned_ && (used >= size / 4 || copies != 0);
      return false;
    }
    if (!half_since_) {
      half_since_ = now;
    }
    if (warned_ || !lasts(now)) {
      return false;
    }
    warned_ = true;
    counters_.overloads.add();
    return true;
  }
  /// Half of the ring has been in use for check_interval.
  [[nodiscard]] bool lasts(base::time_point now) const noexcept {
    return half_since_ && now - *half_since_ >= check_interval;
  }

 private:
  std::uint32_t read(const ipc::ring_reader& ring) noexcept {
    const std::uint32_t used = ring.used_bytes();
    counters_.ring_used.set(used);
    counters_.ring_used_max.raise(used);
    return used;
  }

  handle_counters& counters_;
  base::time_point moved_;
  std::optional<base::time_point> half_since_;
  base::nanoseconds turn_took_{0};
  bool behind_ = false;  // half of the ring was in use when the turn began
  bool warned_ = false;
};

}  // namespace cpgring::delivery
