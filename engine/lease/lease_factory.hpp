// Makes what a running callback requests for its message: a lease that outlives it, or a copy with a larger
// alignment.
//
// One factory for each run of callbacks, used by the thread that runs them. A callback_scratch belongs to
// that thread and is kept from run to run.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include <fmt/format.h>

#include <cpgring/result.hpp>

#include "lease/copy_pool.hpp"
#include "lease/lease_block.hpp"

namespace cpgring::leasing {

class callback_scratch {
 public:
  static constexpr std::size_t alignment_max = 4096;

  callback_scratch() = default;
  ~callback_scratch() {
    delete_spare(spare);
    free_scratch();
  }
  callback_scratch(const callback_scratch&) = delete;
  callback_scratch& operator=(const callback_scratch&) = delete;

  /// At least `size` bytes at alignment_max; the previous contents are lost.
  std::byte* scratch(std::size_t size) {
    if (size > scratch_size_) {
      free_scratch();
      const std::size_t wanted = std::bit_ceil(size);
      scratch_ = static_cast<std::byte*>(::operator new (wanted, std::align_val_t{alignment_max}));
      scratch_size_ = wanted;
    }
    return scratch_;
  }
  lease_block* spare = nullptr;

 private:
  void free_scratch() noexcept {
    ::operator delete (scratch_, std::align_val_t{alignment_max});
    scratch_ = nullptr;
    scratch_size_ = 0;
  }
  std::byte* scratch_ = nullptr;
  std::size_t scratch_size_ = 0;
};

class lease_factory {
 public:
  lease_factory(const std::shared_ptr<lease_pool>& pool, callback_scratch& scratch) noexcept
      : pool_(pool), scratch_memory_(scratch) {}

  struct subject {
    std::byte* data;
    std::size_t size;
    std::uint64_t sequence;
    std::uint32_t node, pid;
    bool in_ring;
  };
  /// The first lease of a message in the ring leaves it there, and take_ring_lease() returns it. Further
  /// leases, and leases of messages that are elsewhere, are copies at once.
  result<lease_block*> retain(const subject& what) {
    lease_block* const one = lease_pool::issue(pool_, what.size, scratch_memory_.spare);
    if (one == nullptr) {
      return fail(
          errc::overloaded,
          fmt::format(
              "the leases of this handle hold {} bytes and this message has {}: release some, or raise "
              "handle_options::retained_bytes_max ({})",
              pool_->bytes(), what.size, pool_->bytes_max()));
    }
    one->sequence = what.sequence;
    one->node = what.node;
    one->pid = what.pid;
    if (what.in_ring && ring_lease_ == nullptr) {
      one->in_ring() = what.data;
      ring_lease_ = one;
    } else {
      one->copy() = new_copy(what.size);
      std::memcpy(one->copy(), what.data, what.size);
      one->state.store(lease_block::copied, std::memory_order_relaxed);
    }
    return one;
  }
  [[nodiscard]] bool has_ring_lease() const noexcept { return ring_lease_ != nullptr; }
  /// The block whose bytes are in the ring, if the callback took a lease; null: none. Call it after each
  /// callback.
  lease_block* take_ring_lease() noexcept { return std::exchange(ring_lease_, nullptr); }

  result<std::pair<std::span<std::byte>, bool>> aligned(std::span<std::byte> bytes, std::size_t alignment) {
    if (!std::has_single_bit(alignment) || alignment > callback_scratch::alignment_max) {
      return fail(errc::invalid_param,
                  fmt::format("the alignment is {}, it must be a power of two from 1 to {}", alignment,
                              callback_scratch::alignment_max));
    }
    if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignment == 0) {
      return std::pair(bytes, false);
    }
    std::byte* const to = scratch_memory_.scratch(bytes.size());
    std::memcpy(to, bytes.data(), bytes.size());
    return std::pair(std::span(to, bytes.size()), true);
  }

 private:
  const std::shared_ptr<lease_pool>& pool_;
  callback_scratch& scratch_memory_;
  lease_block* ring_lease_ = nullptr;
};

}  // namespace cpgring::leasing
