// One message that outlives its callback: where its bytes lie, who looks at them, how it comes back.
//
// One word decides everything: how many pins there are, whether the lease has been dropped, whether the bytes have moved to a copy.
// Invariants: I1 the bytes in the ring are given up only by one step from "no pin, not copied" to "copied"; pins only read, so one that
// came and went while the copy was made has done no harm. I2 whoever takes the last of lease and pins away, and nobody else, gives the
// block back. Modelled in tests/model/retained.pml.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/cache_line.hpp"
#include "base/clock.hpp"

namespace cpgring::dispatch {

class lease_desk;

struct alignas(base::cache_line) retained {
  static constexpr std::uint32_t pin_one = 1, pins = (1U << 30) - 1, dropped = 1U << 30, copied = 1U << 31;

  std::atomic<std::uint32_t> state{0};
  std::byte* at[2] = {};  // in the ring; the copy, behind `copied`
  std::size_t size = 0;
  std::uint64_t sequence = 0;
  std::uint32_t node = 0, pid = 0;
  std::shared_ptr<lease_desk> home;  // until it is given back

  // The reactor's.
  std::uint64_t chunk = 0;  // which of its handle's
  base::time_point since;
  retained* older = nullptr;
  retained* newer = nullptr;
  bool known = false;     // the reactor has heard of it
  bool returned = false;  // and knows that it came back

  retained* next = nullptr;  // in a list of returned or of spare ones

  /// What it counts against the limit: small ones are not for free.
  [[nodiscard]] static constexpr std::size_t charge(std::size_t size) noexcept { return size + 128; }

  std::byte* pin() noexcept {
    // SYNC retained_copy: whoever sees `copied` sees the copy.
    const std::uint32_t before = state.fetch_add(pin_one, std::memory_order_acquire);
    return at[(before & copied) != 0 ? 1 : 0];
  }
  [[nodiscard]] std::byte*& in_ring() noexcept { return at[0]; }
  [[nodiscard]] std::byte*& copy() noexcept { return at[1]; }
  void unpin() noexcept;
  void drop() noexcept;

  /// The reactor: moves the bytes to `to`. False: somebody looks at them, or the lease has gone; nothing has changed then.
  bool move_to(std::byte* to) noexcept;
  [[nodiscard]] bool is_copied() const noexcept { return (state.load(std::memory_order_relaxed) & copied) != 0; }
};

/// Of one handle: gives blocks out, takes them back from any thread, outlives handle and engine.
class lease_desk {
 public:
  explicit lease_desk(std::size_t bytes_max) noexcept : bytes_max_(bytes_max) {}
  ~lease_desk();
  lease_desk(const lease_desk&) = delete;
  lease_desk& operator=(const lease_desk&) = delete;

  // --- any thread ------------------------------------------------------------------------------------------------------------
  /// Null: bytes_max would be passed. `spare`: a list of the calling thread's own, refilled here.
  static retained* issue(const std::shared_ptr<lease_desk>& desk, std::size_t size, retained*& spare);
  void give_back(retained& one) noexcept;
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t bytes_max() const noexcept { return bytes_max_; }

  // --- the reactor -----------------------------------------------------------------------------------------------------------
  [[nodiscard]] bool anything_returned() const noexcept { return returned_.load(std::memory_order_relaxed) != nullptr; }
  /// All that came back, as a list.
  retained* take_returned() noexcept;
  /// For issue() to give out again; its copy, if any, is the caller's now.
  void recycle(retained& one) noexcept;
  /// What pinned blocks lie in; goes when the last block has come back.
  void keep(std::shared_ptr<void> mapping) noexcept { kept_ = std::move(mapping); }

 private:
  const std::size_t bytes_max_;
  std::shared_ptr<void> kept_;
  alignas(base::cache_line) std::atomic<retained*> returned_{nullptr};
  std::atomic<retained*> spare_{nullptr};
  std::atomic<std::size_t> bytes_{0}, count_{0};
};

/// Frees a list of spare ones.
void delete_spare(retained* list) noexcept;

/// Those of one handle that still lie in its ring, oldest first. The reactor.
class retained_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return oldest_ == nullptr; }
  [[nodiscard]] retained* oldest() const noexcept { return oldest_; }
  void push(retained& one) noexcept {
    one.older = newest_;
    one.newer = nullptr;
    (newest_ != nullptr ? newest_->newer : oldest_) = &one;
    newest_ = &one;
  }
  void remove(retained& one) noexcept {
    (one.older != nullptr ? one.older->newer : oldest_) = one.newer;
    (one.newer != nullptr ? one.newer->older : newest_) = one.older;
  }
  void clear() noexcept { oldest_ = newest_ = nullptr; }

 private:
  retained* oldest_ = nullptr;
  retained* newest_ = nullptr;
};

}  // namespace cpgring::dispatch
