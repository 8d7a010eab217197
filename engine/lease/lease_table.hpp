// The leases that callbacks of one handle took on chunks of its ring: how long they may stay there, and which
// are copied out when.
//
// The reactor's thread. Invariant: a chunk is reported as freed once, when its lease has come back or its
// bytes have been copied.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.hpp"
#include "lease/copy_pool.hpp"
#include "lease/lease_block.hpp"

namespace cpgring::leasing {

class lease_table {
 public:
  lease_table(std::size_t bytes_max, base::nanoseconds age_max)
      : pool_(std::make_shared<lease_pool>(bytes_max)), age_max_(age_max) {}

  [[nodiscard]] const std::shared_ptr<lease_pool>& pool() const noexcept { return pool_; }
  [[nodiscard]] bool has_work() const noexcept { return !in_ring_.empty() || pool_->anything_returned(); }
  [[nodiscard]] bool any_in_ring() const noexcept { return !in_ring_.empty(); }
  /// The oldest lease in the ring; null: none.
  [[nodiscard]] const lease_block* oldest() const noexcept { return in_ring_.oldest(); }
  [[nodiscard]] std::uint64_t copied() const noexcept { return copied_; }
  [[nodiscard]] std::uint64_t copied_bytes() const noexcept { return copied_bytes_; }

  /// A callback has left a lease on `chunk`. False: it has come back already.
  [[nodiscard]] bool add(lease_block& one, std::uint64_t chunk, base::time_point now) {
    if (one.returned) {
      pool_->recycle(one);
      return false;
    }
    one.known = true;
    one.chunk = chunk;
    one.since = now;
    if (in_ring_.empty()) {
      next_check_ = now + age_max_;
    }
    in_ring_.push(one);
    return true;
  }

  /// Takes back returned leases. Calls `freed(chunk)`.
  template <class Freed>
  void collect(copy_pool& copies, Freed&& freed) {
    for (lease_block* one = pool_->anything_returned() ? pool_->take_returned() : nullptr; one != nullptr;) {
      lease_block& back = *std::exchange(one, one->next);
      if (back.is_copied()) {  // copied out, or a copy from the beginning
        copies.give(back.copy(), back.size);
      } else if (!back.known) {
        back.returned = true;  // came back before add() was called
        continue;
      } else {
        in_ring_.remove(back);
        freed(back.chunk);
      }
      pool_->recycle(back);
    }
  }

  /// Copies out the leases taken up to `taken_by` that are not pinned now. Calls `freed(chunk)`.
  template <class Freed>
  void copy_out(copy_pool& copies, base::time_point taken_by, Freed&& freed) {
    for (lease_block* one = in_ring_.oldest(); one != nullptr && one->since <= taken_by;) {
      lease_block& each = *std::exchange(one, one->newer);
      std::byte* const to = copies.take(each.size);
      if (!each.move_to(to)) {
        copies.give(to, each.size);
        continue;
      }
      ++copied_;
      copied_bytes_ += each.size;
      in_ring_.remove(each);
      freed(each.chunk);
    }
  }

  /// Takes back released leases and copies out expired ones. `crowded`: the ring is short of room, so copy
  /// out all.
  template <class Freed>
  void maintain(copy_pool& copies, base::time_point now, bool crowded, Freed&& freed) {
    collect(copies, freed);
    if (in_ring_.empty() || (!crowded && now < next_check_)) {
      return;
    }
    copy_out(copies, crowded ? base::time_point::max() : now - age_max_, freed);
    if (!in_ring_.empty()) {
      // A lease that was due and is still there is pinned, and pins are short.
      next_check_ = std::max(in_ring_.oldest()->since + age_max_, now + recheck_interval);
    }
  }
  /// The latest time for the next maintain().
  [[nodiscard]] std::optional<base::time_point> due() const noexcept {
    return in_ring_.empty() ? std::nullopt : std::optional(next_check_);
  }

  /// The ring is given up: leases that cannot be copied keep `mapping` alive until they come back.
  template <class Mapping>
  void release_ring(copy_pool& copies, Mapping&& mapping) {
    collect(copies, [](std::uint64_t) {});
    copy_out(copies, base::time_point::max(), [](std::uint64_t) {});
    if (!in_ring_.empty()) {
      pool_->keep(std::forward<Mapping>(mapping)());
      in_ring_.clear();
    }
  }

 private:
  static constexpr base::nanoseconds recheck_interval = std::chrono::milliseconds(1);

  const std::shared_ptr<lease_pool> pool_;
  const base::nanoseconds age_max_;
  lease_list in_ring_;
  base::time_point next_check_;
  std::uint64_t copied_ = 0, copied_bytes_ = 0;
};

}  // namespace cpgring::leasing
