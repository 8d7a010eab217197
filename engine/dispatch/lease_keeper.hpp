// The leases that callbacks of one handle took on chunks of its ring: how long they may stay there, and what is copied out when.
//
// The reactor's thread. Invariant: a chunk is told of as freed once, when its lease has come back or its bytes have been copied.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.hpp"
#include "dispatch/copy_pool.hpp"
#include "dispatch/retained.hpp"

namespace cpgring::dispatch {

class lease_keeper {
 public:
  lease_keeper(std::size_t bytes_max, base::nanoseconds age_max) : desk_(std::make_shared<lease_desk>(bytes_max)), age_max_(age_max) {}

  [[nodiscard]] const std::shared_ptr<lease_desk>& desk() const noexcept { return desk_; }
  [[nodiscard]] bool anything_to_do() const noexcept { return !in_ring_.empty() || desk_->anything_returned(); }
  [[nodiscard]] bool any_in_ring() const noexcept { return !in_ring_.empty(); }
  /// Of those in the ring the one that was taken first.
  [[nodiscard]] const retained* oldest() const noexcept { return in_ring_.oldest(); }
  [[nodiscard]] std::uint64_t copied() const noexcept { return copied_; }
  [[nodiscard]] std::uint64_t copied_bytes() const noexcept { return copied_bytes_; }

  /// A callback has left a lease on `chunk`. False: that one has come back already.
  [[nodiscard]] bool took(retained& one, std::uint64_t chunk, base::time_point now) {
    if (one.returned) {
      desk_->recycle(one);
      return false;
    }
    one.known = true;
    one.chunk = chunk;
    one.since = now;
    if (in_ring_.empty()) {
      next_look_ = now + age_max_;
    }
    in_ring_.push(one);
    return true;
  }

  /// Takes back what came. `freed(chunk)`.
  template <class Freed>
  void collect(copy_pool& pool, Freed&& freed) {
    for (retained* one = desk_->anything_returned() ? desk_->take_returned() : nullptr; one != nullptr;) {
      retained& back = *std::exchange(one, one->next);
      if (back.is_copied()) {  // of old, or from the beginning
        pool.give(back.copy(), back.size);
      } else if (!back.known) {
        back.returned = true;  // faster than the word that it was taken
        continue;
      } else {
        in_ring_.remove(back);
        freed(back.chunk);
      }
      desk_->recycle(back);
    }
  }

  /// Copies out what was taken up to `taken_by` and nobody looks at just now. `freed(chunk)`.
  template <class Freed>
  void copy_out(copy_pool& pool, base::time_point taken_by, Freed&& freed) {
    for (retained* one = in_ring_.oldest(); one != nullptr && one->since <= taken_by;) {
      retained& each = *std::exchange(one, one->newer);
      std::byte* const to = pool.take(each.size);
      if (!each.move_to(to)) {
        pool.give(to, each.size);
        continue;
      }
      ++copied_;
      copied_bytes_ += each.size;
      in_ring_.remove(each);
      freed(each.chunk);
    }
  }

  /// What has to be done now. `crowded`: the ring is short of room.
  template <class Freed>
  void tend(copy_pool& pool, base::time_point now, bool crowded, Freed&& freed) {
    collect(pool, freed);
    if (in_ring_.empty() || (!crowded && now < next_look_)) {
      return;
    }
    copy_out(pool, crowded ? base::time_point::max() : now - age_max_, freed);
    if (!in_ring_.empty()) {
      // What should have gone and has not is pinned, and pins are short.
      next_look_ = std::max(in_ring_.oldest()->since + age_max_, now + pinned_again);
    }
  }
  /// When tend() is to be called at the latest.
  [[nodiscard]] std::optional<base::time_point> due() const noexcept { return in_ring_.empty() ? std::nullopt : std::optional(next_look_); }

  /// The ring goes: what can't be copied keeps `mapping` alive until it comes back.
  template <class Mapping>
  void let_go(copy_pool& pool, Mapping&& mapping) {
    collect(pool, [](std::uint64_t) {});
    copy_out(pool, base::time_point::max(), [](std::uint64_t) {});
    if (!in_ring_.empty()) {
      desk_->keep(std::forward<Mapping>(mapping)());
      in_ring_.clear();
    }
  }

 private:
  static constexpr base::nanoseconds pinned_again = std::chrono::milliseconds(1);

  const std::shared_ptr<lease_desk> desk_;
  const base::nanoseconds age_max_;
  retained_list in_ring_;
  base::time_point next_look_;
  std::uint64_t copied_ = 0, copied_bytes_ = 0;
};

}  // namespace cpgring::dispatch
