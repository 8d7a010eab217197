// Station C2 of 11: from api/handle, to runtime/shard_intake.
//
// Brings requests from other threads to the reactor's thread: a bounded ring of bytes with many producers and
// one consumer, without locks or allocations.
//
// A producer claims a record by moving `tail`, fills it, and makes it visible with its length word. Any
// thread pushes; the reactor's thread pops. Invariants:
// - I1 Between head and tail, memory that no producer has committed is 0 wherever a length word can be: the
//   consumer zeroes a record before it gives the room back.
// - I2 A record never wraps around the end: a padding record fills the rest.
// - I3 Records of one thread stay in order.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "base/cache_line.hpp"
#include "base/check.hpp"

namespace cpgring::dispatch {

class intake_queue {
 public:
  using pieces = std::span<const std::span<const std::byte>>;

  /// `capacity`: bytes, a power of two, at least 4096.
  explicit intake_queue(std::size_t capacity)
      : capacity_(capacity),
        memory_(static_cast<std::byte*>(::operator new (capacity, std::align_val_t{base::cache_line}))) {
    CPGRING_CHECK(capacity >= 4096 && (capacity & (capacity - 1)) == 0);
    std::memset(memory_.get(), 0, capacity);
  }

  /// The largest payload of one record.
  [[nodiscard]] std::size_t record_max() const noexcept { return capacity_ / 4 - sizeof(header); }

  /// False: there is no room now. `bytes` is the sum of the pieces, at most record_max(). Any thread.
  bool push(std::uint32_t kind, std::uint64_t id, pieces payload, std::size_t bytes) noexcept {
    const std::uint64_t need = round_up(sizeof(header) + bytes);
    std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    std::uint64_t padding = 0;
    do {
      const std::uint64_t to_end = capacity_ - (tail & (capacity_ - 1));
      padding = need > to_end ? to_end : 0;
      // SYNC intake_head: otherwise a producer could write into a record that the consumer has yet to zero.
      if (tail + padding + need - head_.load(std::memory_order_acquire) > capacity_) {
        return false;
      }
    } while (!tail_.compare_exchange_weak(tail, tail + padding + need, std::memory_order_relaxed));
    if (padding != 0) {
      header* filler = at(tail);
      filler->kind = kind_padding;
      // SYNC intake_length: otherwise the consumer could read the kind of an earlier record.
      filler->length.store(static_cast<std::uint32_t>(padding), std::memory_order_release);
    }
    header* record = at(tail + padding);
    record->kind = kind;
    record->id = id;
    record->bytes = static_cast<std::uint32_t>(bytes);
    std::byte* to = reinterpret_cast<std::byte*>(record + 1);
    for (const auto& piece : payload) {
      if (!piece.empty()) {
        std::memcpy(to, piece.data(), piece.size());
        to += piece.size();
      }
    }
    // SYNC intake_length: otherwise the consumer could see the record before its payload.
    record->length.store(static_cast<std::uint32_t>(need), std::memory_order_release);
    return true;
  }

  /// True if there is a record to pop. The reactor's thread.
  [[nodiscard]] bool pending() const noexcept {
    // SYNC intake_length: pairs with the producers' stores.
    return at(head_.load(std::memory_order_relaxed))->length.load(std::memory_order_acquire) != 0;
  }

  /// Calls take(kind, id, payload) for at most `records` records, oldest first, and returns their number. The
  /// payload is valid during the call. The reactor's thread.
  template <class Take>
  std::uint32_t pop(std::uint32_t records, Take&& take) {
    std::uint32_t taken = 0;
    while (taken < records) {
      const std::uint64_t head = head_.load(std::memory_order_relaxed);
      header* record = at(head);
      // SYNC intake_length: otherwise kind, id and payload could be those of an earlier lap.
      const std::uint32_t length = record->length.load(std::memory_order_acquire);
      if (length == 0) {
        break;
      }
      const bool real = record->kind != kind_padding;
      if (real) {
        take(record->kind, record->id,
             std::span<const std::byte>(reinterpret_cast<const std::byte*>(record + 1), record->bytes));
        ++taken;
        std::memset(reinterpret_cast<std::byte*>(record) + sizeof(record->length), 0,
                    length - sizeof(record->length));
      }
      record->length.store(0, std::memory_order_relaxed);
      // SYNC intake_head: the zeroing above must be visible before a producer may claim this room again.
      head_.store(head + length, std::memory_order_release);
    }
    return taken;
  }

 private:
  struct header {
    std::atomic<std::uint32_t> length;  // 0: not committed
    std::uint32_t kind;
    std::uint64_t id;
    std::uint32_t bytes;
    std::uint32_t unused[3];
  };
  static_assert(sizeof(header) == 32);
  static constexpr std::uint32_t kind_padding = UINT32_MAX;

  // Every record starts at a multiple of the header's size, so a padding record always has room for a header.
  static std::uint64_t round_up(std::uint64_t bytes) noexcept {
    return (bytes + sizeof(header) - 1) / sizeof(header) * sizeof(header);
  }
  header* at(std::uint64_t position) const noexcept {
    return reinterpret_cast<header*>(memory_.get() + (position & (capacity_ - 1)));
  }

  struct free_memory {
    void operator()(std::byte* p) const noexcept {
      ::operator delete (p, std::align_val_t{base::cache_line});
    }
  };

  const std::size_t capacity_;
  const std::unique_ptr<std::byte, free_memory> memory_;
  alignas(base::cache_line) std::atomic<std::uint64_t> tail_{0};  // producers
  alignas(base::cache_line) std::atomic<std::uint64_t> head_{0};  // consumer
};

}  // namespace cpgring::dispatch
