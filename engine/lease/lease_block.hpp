// One message that outlives its callback: where its bytes are, which pins exist, how it is given back.
//
// One atomic word holds the number of pins, whether the lease was dropped, and whether the bytes were copied.
// Modelled in tests/model/lease_block.pml. Invariants:
// - I1 The bytes in the ring are given up only by one step from "no pin, not copied" to "copied". Pins only
//   read, so a pin that came and went during the copying did no harm.
// - I2 Only the thread that removes the last of lease and pins gives the block back.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/cache_line.hpp"
#include "base/clock.hpp"

namespace cpgring::leasing {

class lease_pool;

struct alignas(base::cache_line) lease_block {
  static constexpr std::uint32_t pin_one = 1, pins = (1U << 30) - 1, dropped = 1U << 30, copied = 1U << 31;

  std::atomic<std::uint32_t> state{0};
  std::byte* at[2] = {};  // in the ring; the copy, valid with `copied`
  std::size_t size = 0;
  std::uint64_t sequence = 0;
  std::uint32_t node = 0, pid = 0;
  std::shared_ptr<lease_pool> home;  // until the block is given back

  // For the reactor's thread.
  std::uint64_t chunk = 0;  // its number in the ring of the handle
  base::time_point since;
  lease_block* older = nullptr;
  lease_block* newer = nullptr;
  bool known = false;     // the reactor has processed the report of this lease
  bool returned = false;  // the block came back before that report

  lease_block* next = nullptr;  // in a list of returned or spare blocks

  /// Bytes that count against the limit. The overhead of 128 bounds the number of small leases.
  [[nodiscard]] static constexpr std::size_t charge(std::size_t size) noexcept { return size + 128; }

  std::byte* pin() noexcept {
    // SYNC lease_copy: a thread that sees `copied` sees the copy.
    const std::uint32_t before = state.fetch_add(pin_one, std::memory_order_acquire);
    return at[(before & copied) != 0 ? 1 : 0];
  }
  [[nodiscard]] std::byte*& in_ring() noexcept { return at[0]; }
  [[nodiscard]] std::byte*& copy() noexcept { return at[1]; }
  void unpin() noexcept;
  void drop() noexcept;

  /// The reactor: copies the bytes to `to` and gives up those in the ring. False: nothing has changed,
  /// because a pin exists or the lease was dropped.
  bool move_to(std::byte* to) noexcept;
  [[nodiscard]] bool is_copied() const noexcept {
    return (state.load(std::memory_order_relaxed) & copied) != 0;
  }
};

/// The lease blocks of one handle: issues them, takes them back from any thread, outlives handle and engine.
class lease_pool {
 public:
  explicit lease_pool(std::size_t bytes_max) noexcept : bytes_max_(bytes_max) {}
  ~lease_pool();
  lease_pool(const lease_pool&) = delete;
  lease_pool& operator=(const lease_pool&) = delete;

  // --- any thread ------------------------------------------------------------------------------------------
  /// Null: bytes_max would be exceeded. `spare`: a list of the calling thread's own, refilled here.
  static lease_block* issue(const std::shared_ptr<lease_pool>& pool, std::size_t size, lease_block*& spare);
  void give_back(lease_block& one) noexcept;
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t bytes_max() const noexcept { return bytes_max_; }

  // --- the reactor -----------------------------------------------------------------------------------------
  [[nodiscard]] bool anything_returned() const noexcept {
    return returned_.load(std::memory_order_relaxed) != nullptr;
  }
  /// Takes all returned blocks, as a list.
  lease_block* take_returned() noexcept;
  /// Makes a block available to issue() again; its copy, if any, now belongs to the caller.
  void recycle(lease_block& one) noexcept;
  /// Keeps the memory of pinned blocks alive until the last block has come back.
  void keep(std::shared_ptr<void> mapping) noexcept { kept_ = std::move(mapping); }

 private:
  const std::size_t bytes_max_;
  std::shared_ptr<void> kept_;
  alignas(base::cache_line) std::atomic<lease_block*> returned_{nullptr};
  std::atomic<lease_block*> spare_{nullptr};
  std::atomic<std::size_t> bytes_{0}, count_{0};
};

/// Frees a list of spare blocks.
void delete_spare(lease_block* list) noexcept;

/// The lease blocks of one handle whose bytes are in its ring, oldest first. The reactor.
class lease_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return oldest_ == nullptr; }
  [[nodiscard]] lease_block* oldest() const noexcept { return oldest_; }
  void push(lease_block& one) noexcept {
    one.older = newest_;
    one.newer = nullptr;
    (newest_ != nullptr ? newest_->newer : oldest_) = &one;
    newest_ = &one;
  }
  void remove(lease_block& one) noexcept {
    (one.older != nullptr ? one.older->newer : oldest_) = one.newer;
    (one.newer != nullptr ? one.newer->older : newest_) = one.older;
  }
  void clear() noexcept { oldest_ = newest_ = nullptr; }

 private:
  lease_block* oldest_ = nullptr;
  lease_block* newest_ = nullptr;
};

}  // namespace cpgring::leasing
