// What a running callback can ask for its message: a lease that outlives it, a copy at a larger alignment.
//
// One for each run of callbacks; the thread that runs them. A callback_room is that thread's own and stays from run to run.
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

#include <cpgring/error.hpp>

#include "dispatch/copy_pool.hpp"
#include "dispatch/retained.hpp"

namespace cpgring::dispatch {

class callback_room {
 public:
  static constexpr std::size_t alignment_max = 4096;

  callback_room() = default;
  ~callback_room() {
    delete_spare(spare);
    free_scratch();
  }
  callback_room(const callback_room&) = delete;
  callback_room& operator=(const callback_room&) = delete;

  /// At least `size` bytes at alignment_max; what was in it is gone.
  std::byte* scratch(std::size_t size) {
    if (size > scratch_size_) {
      free_scratch();
      const std::size_t wanted = std::bit_ceil(size);
      scratch_ = static_cast<std::byte*>(::operator new (wanted, std::align_val_t{alignment_max}));
      scratch_size_ = wanted;
    }
    return scratch_;
  }
  retained* spare = nullptr;

 private:
  void free_scratch() noexcept {
    ::operator delete (scratch_, std::align_val_t{alignment_max});
    scratch_ = nullptr;
    scratch_size_ = 0;
  }
  std::byte* scratch_ = nullptr;
  std::size_t scratch_size_ = 0;
};

class lessor {
 public:
  lessor(const std::shared_ptr<lease_desk>& desk, callback_room& room) noexcept : desk_(desk), room_(room) {}

  struct subject {
    std::byte* data;
    std::size_t size;
    std::uint64_t sequence;
    std::uint32_t node, pid;
    bool in_ring;
  };
  /// The first lease of a message in the ring leaves it there, and taken() tells of it; further ones, and those of messages that lie
  /// elsewhere, are copies from the beginning.
  result<retained*> retain(const subject& what) {
    retained* const one = lease_desk::issue(desk_, what.size, room_.spare);
    if (one == nullptr) {
      return fail(errc::overloaded, fmt::format("the leases of this handle hold {} bytes and this message has {}: release some, or raise "
                                                "handle_options::retained_bytes_max ({})",
                                                desk_->bytes(), what.size, desk_->bytes_max()));
    }
    one->sequence = what.sequence;
    one->node = what.node;
    one->pid = what.pid;
    if (what.in_ring && taken_ == nullptr) {
      one->in_ring() = what.data;
      taken_ = one;
    } else {
      one->copy() = new_copy(what.size);
      std::memcpy(one->copy(), what.data, what.size);
      one->state.store(retained::copied, std::memory_order_relaxed);
    }
    return one;
  }
  [[nodiscard]] bool has_taken() const noexcept { return taken_ != nullptr; }
  /// The block whose bytes lie in the ring, if the callback took a lease; asked after each callback.
  retained* taken() noexcept { return std::exchange(taken_, nullptr); }

  result<std::pair<std::span<std::byte>, bool>> aligned(std::span<std::byte> bytes, std::size_t alignment) {
    if (!std::has_single_bit(alignment) || alignment > callback_room::alignment_max) {
      return fail(errc::invalid_param,
                  fmt::format("an alignment is a power of two from 1 to {}, {} is not", callback_room::alignment_max, alignment));
    }
    if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignment == 0) {
      return std::pair(bytes, false);
    }
    std::byte* const to = room_.scratch(bytes.size());
    std::memcpy(to, bytes.data(), bytes.size());
    return std::pair(std::span(to, bytes.size()), true);
  }

 private:
  const std::shared_ptr<lease_desk>& desk_;
  callback_room& room_;
  retained* taken_ = nullptr;
};

}  // namespace cpgring::dispatch
