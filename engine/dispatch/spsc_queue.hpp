// A bounded queue from one thread to another: no locks, no system calls, no allocation after construction.
//
// The two ends are objects: split() returns one producer and one consumer, once, and they cannot be copied.
// Modelled in tests/model/spsc_queue.pml. Invariants:
// - I1 Cells [head, tail) hold elements, all others raw memory.
// - I2 Only the producer moves tail, only the consumer moves head.
// - I3 Each end keeps a copy of the other's index beside its own, and reads the index again only if the copy
//   says full or empty. So a cache line that the other end writes is read once a batch, not once an element.
// - I4 Staged elements are invisible until publish().
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "base/cache_line.hpp"
#include "base/check.hpp"
#include "base/relax.hpp"

namespace cpgring::dispatch {

template <class T>
class spsc_queue {
 public:
  class producer;
  class consumer;
  struct ends;

  /// `capacity`: elements, a power of two, at least 2.
  explicit spsc_queue(std::size_t capacity)
      : mask_(capacity - 1),
        cells_(static_cast<T*>(::operator new (sizeof(T) * capacity, std::align_val_t{base::cache_line}))) {
    CPGRING_CHECK(capacity >= 2 && (capacity & mask_) == 0);
  }
  /// Both ends must be finished. Destroys the remaining elements, staged ones too.
  ~spsc_queue() {
    for (std::uint64_t at = taken_; at != staged_; ++at) {
      std::destroy_at(cell(at));
    }
    ::operator delete (cells_, std::align_val_t{base::cache_line});
  }
  spsc_queue(const spsc_queue&) = delete;
  spsc_queue& operator=(const spsc_queue&) = delete;

  /// Call it once. The ends must not outlive the queue.
  ends split() noexcept;
  [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1; }

 private:
  [[nodiscard]] T* cell(std::uint64_t index) const noexcept { return cells_ + (index & mask_); }

  const std::size_t mask_;
  T* const cells_;
  bool has_been_split_ = false;
  // The private data of an end is in a line that the other never touches. An index that both use is written
  // only by its owner, and a store does not wait until the line has come back from the other end; a load
  // would.
  alignas(base::cache_line) std::uint64_t staged_ = 0;  // producer: tail_ plus the staged elements
  std::uint64_t head_seen_ = 0;
  alignas(base::cache_line) std::atomic<std::uint64_t> tail_{0};
  alignas(base::cache_line) std::uint64_t taken_ = 0;  // consumer: head_
  std::uint64_t tail_seen_ = 0;
  alignas(base::cache_line) std::atomic<std::uint64_t> head_{0};
};

template <class T>
class spsc_queue<T>::producer {
 public:
  producer(producer&& other) noexcept : q_(std::exchange(other.q_, nullptr)) {}
  producer& operator=(producer&& other) noexcept {
    q_ = std::exchange(other.q_, nullptr);
    return *this;
  }

  /// Number of free cells. Reads the consumer's index only if its copy says fewer than `wanted`.
  [[nodiscard]] std::size_t room(std::size_t wanted = 1) noexcept {
    std::size_t free = q_->capacity() - static_cast<std::size_t>(q_->staged_ - q_->head_seen_);
    if (free < wanted) {
      // SYNC spsc_head: otherwise an element could be written into a cell that is still being read.
      q_->head_seen_ = q_->head_.load(std::memory_order_acquire);
      free = q_->capacity() - static_cast<std::size_t>(q_->staged_ - q_->head_seen_);
    }
    return free;
  }
  /// Constructs an element at the end without making it visible. Null: full. The address is valid until the
  /// consumer has released the cell.
  template <class... Arguments>
  T* stage(Arguments&&... arguments) noexcept(std::is_nothrow_constructible_v<T, Arguments...>) {
    if (room() == 0) {
      return nullptr;
    }
    T* const at = ::new (static_cast<void*>(q_->cell(q_->staged_))) T(std::forward<Arguments>(arguments)...);
    ++q_->staged_;
    return at;
  }
  /// Makes all staged elements visible.
  void publish() noexcept {
    // SYNC spsc_tail: otherwise the consumer could see the index before the elements.
    q_->tail_.store(q_->staged_, std::memory_order_release);
  }
  /// Stages and publishes one element. False: full.
  template <class... Arguments>
  bool emplace(Arguments&&... arguments) noexcept(std::is_nothrow_constructible_v<T, Arguments...>) {
    if (stage(std::forward<Arguments>(arguments)...) == nullptr) {
      base::relax();
      return false;
    }
    publish();
    return true;
  }
  /// Number of elements staged since the queue was made, which is the number of the next one.
  [[nodiscard]] std::uint64_t end() const noexcept { return q_->staged_; }
  /// Element number `index`. It must still be in the queue, and another protocol must keep the consumer away
  /// from it.
  [[nodiscard]] T& at(std::uint64_t index) noexcept { return *q_->cell(index); }
  /// Stages as many elements as there is room for, publishes them once and returns their number.
  std::size_t push(std::span<const T> many) noexcept requires std::is_trivially_copyable_v<T> {
    const std::size_t count = std::min(many.size(), room(many.size()));
    const std::size_t at = static_cast<std::size_t>(q_->staged_) & q_->mask_,
                      to_end = std::min(count, q_->capacity() - at);
    std::uninitialized_copy_n(many.data(), to_end, q_->cells_ + at);
    std::uninitialized_copy_n(many.data() + to_end, count - to_end, q_->cells_);
    q_->staged_ += count;
    publish();
    return count;
  }

 private:
  friend class spsc_queue;
  explicit producer(spsc_queue* q) noexcept : q_(q) {}
  spsc_queue* q_;
};

template <class T>
class spsc_queue<T>::consumer {
 public:
  consumer(consumer&& other) noexcept : q_(std::exchange(other.q_, nullptr)) {}
  consumer& operator=(consumer&& other) noexcept {
    q_ = std::exchange(other.q_, nullptr);
    return *this;
  }

  /// Number of elements. Reads the producer's index only if its copy says fewer than `wanted`.
  [[nodiscard]] std::size_t available(std::size_t wanted = 1) noexcept {
    std::size_t there = static_cast<std::size_t>(q_->tail_seen_ - q_->taken_);
    if (there < wanted) {
      // SYNC spsc_tail: otherwise the contents of the cells could be older than the index.
      q_->tail_seen_ = q_->tail_.load(std::memory_order_acquire);
      there = static_cast<std::size_t>(q_->tail_seen_ - q_->taken_);
    }
    return there;
  }
  [[nodiscard]] bool empty() noexcept { return available() == 0; }
  /// The number of the oldest element, counted since the queue was made.
  [[nodiscard]] std::uint64_t begin() const noexcept { return q_->taken_; }
  /// The i-th oldest element, i < available(), in place, until it is released.
  [[nodiscard]] T& front(std::size_t i = 0) noexcept { return *q_->cell(q_->taken_ + i); }
  /// Destroys the oldest `count` elements and gives their cells back at once.
  void release(std::size_t count) noexcept {
    if constexpr (!std::is_trivially_destructible_v<T>) {
      for (std::size_t i = 0; i < count; ++i) {
        std::destroy_at(q_->cell(q_->taken_ + i));
      }
    }
    q_->taken_ += count;
    // SYNC spsc_head: all reads of these cells come before they may be written again.
    q_->head_.store(q_->taken_, std::memory_order_release);
  }
  /// Moves the oldest element out. False: there is none.
  bool pop(T& into) noexcept(std::is_nothrow_move_assignable_v<T>) {
    if (q_->tail_seen_ == q_->taken_) {
      const std::size_t there = available();
      if (there == 0) {
        base::relax();
        return false;
      }
      if (there < few) {
        back_off(there);
      }
    }
    into = std::move(front());
    release(1);
    return true;
  }
  /// Copies out as many elements as there are and fit, gives their cells back at once and returns their
  /// number.
  std::size_t pop(std::span<T> into) noexcept requires std::is_trivially_copyable_v<T> {
    const std::size_t count = std::min(into.size(), available(into.size()));
    const std::size_t at = static_cast<std::size_t>(q_->taken_) & q_->mask_;
    const std::size_t to_end = std::min(count, q_->capacity() - at);
    std::copy_n(q_->cells_ + at, to_end, into.data());
    std::copy_n(q_->cells_, count - to_end, into.data() + to_end);
    release(count);
    return count;
  }

 private:
  friend class spsc_queue;
  explicit consumer(spsc_queue* q) noexcept : q_(q) {}

  static constexpr std::size_t few = 8;
  static constexpr std::uint32_t pauses_max = 32, try_every = 64;
  /// A consumer that is close behind its producer takes two cache lines, index and cell, from it for every
  /// element, which is slower than either side alone. So the consumer waits a little, as long as several more
  /// elements come meanwhile. Where elements come one at a time, it tries this now and then, for one pause.
  void back_off(std::size_t there) noexcept {
    if (pauses_ == 0 && ++small_polls_ % try_every != 0) {
      return;
    }
    pauses_ = std::max(pauses_, 1U);
    for (std::uint32_t i = 0; i < pauses_; ++i) {
      base::relax();
    }
    const bool paid = available(there + 1) >= there + few / 2;
    pauses_ = paid ? std::min(pauses_ * 2, pauses_max) : pauses_ / 2;
  }

  spsc_queue* q_;
  std::uint32_t pauses_ = 0;
  std::uint32_t small_polls_ = 0;
};

template <class T>
struct spsc_queue<T>::ends {
  producer in;
  consumer out;
};

template <class T>
typename spsc_queue<T>::ends spsc_queue<T>::split() noexcept {
  CPGRING_CHECK(!std::exchange(has_been_split_, true));
  return {producer(this), consumer(this)};
}

}  // namespace cpgring::dispatch
