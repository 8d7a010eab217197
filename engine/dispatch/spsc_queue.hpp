// A bounded queue from one thread to another: no lock, no allocation once it is made, no system call.
//
// The roles are objects: split() gives one producer and one consumer, once, and neither can be copied, so a second one can't come about.
// Modelled in tests/model/spsc_queue.pml. Invariants: I1 cells [head, tail) hold elements, all others raw memory. I2 only the producer
// moves tail, only the consumer moves head. I3 each end keeps a copy of the other's index beside its own and looks again only when the copy
// says full or empty: a line that the other end writes is read once a batch, not once an element. I4 what is staged is invisible until
// publish().
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
      : mask_(capacity - 1), cells_(static_cast<T*>(::operator new (sizeof(T) * capacity, std::align_val_t{base::cache_line}))) {
    CPGRING_CHECK(capacity >= 2 && (capacity & mask_) == 0);
  }
  /// Both ends are done; what is left in it is destroyed, staged elements too.
  ~spsc_queue() {
    for (std::uint64_t at = taken_; at != staged_; ++at) {
      std::destroy_at(cell(at));
    }
    ::operator delete (cells_, std::align_val_t{base::cache_line});
  }
  spsc_queue(const spsc_queue&) = delete;
  spsc_queue& operator=(const spsc_queue&) = delete;

  /// Once. The ends must not outlive the queue.
  ends split() noexcept;
  [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1; }

 private:
  [[nodiscard]] T* cell(std::uint64_t index) const noexcept { return cells_ + (index & mask_); }

  const std::size_t mask_;
  T* const cells_;
  bool has_been_split_ = false;
  // What an end keeps for itself is in a line that the other never touches: an index that both use is only written by its owner, and a
  // store does not wait for the line to come back from the other end; a load would.
  alignas(base::cache_line) std::uint64_t staged_ = 0;  // the producer's: tail_ and what is staged beyond it
  std::uint64_t head_seen_ = 0;
  alignas(base::cache_line) std::atomic<std::uint64_t> tail_{0};
  alignas(base::cache_line) std::uint64_t taken_ = 0;  // the consumer's: head_
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

  /// Free cells. Looks at the consumer's index only when the copy of it says fewer than `wanted`.
  [[nodiscard]] std::size_t room(std::size_t wanted = 1) noexcept {
    std::size_t free = q_->capacity() - static_cast<std::size_t>(q_->staged_ - q_->head_seen_);
    if (free < wanted) {
      // SYNC spsc_head: without it an element could be written into a cell that is still being read.
      q_->head_seen_ = q_->head_.load(std::memory_order_acquire);
      free = q_->capacity() - static_cast<std::size_t>(q_->staged_ - q_->head_seen_);
    }
    return free;
  }
  /// Constructs an element at the end without showing it; null: full. The address holds until the consumer has released the cell.
  template <class... Arguments>
  T* stage(Arguments&&... arguments) noexcept(std::is_nothrow_constructible_v<T, Arguments...>) {
    if (room() == 0) {
      return nullptr;
    }
    T* const at = ::new (static_cast<void*>(q_->cell(q_->staged_))) T(std::forward<Arguments>(arguments)...);
    ++q_->staged_;
    return at;
  }
  /// Shows what is staged, all at once.
  void publish() noexcept {
    // SYNC spsc_tail: without it the consumer could see the index before the elements.
    q_->tail_.store(q_->staged_, std::memory_order_release);
  }
  /// Stages and publishes one; false: full.
  template <class... Arguments>
  bool emplace(Arguments&&... arguments) noexcept(std::is_nothrow_constructible_v<T, Arguments...>) {
    if (stage(std::forward<Arguments>(arguments)...) == nullptr) {
      base::relax();
      return false;
    }
    publish();
    return true;
  }
  /// Elements staged since the queue was made: the number of the next one.
  [[nodiscard]] std::uint64_t end() const noexcept { return q_->staged_; }
  /// Element number `index`, which is still in the queue and which the consumer, by another agreement, does not touch now.
  [[nodiscard]] T& at(std::uint64_t index) noexcept { return *q_->cell(index); }
  /// As many of them as there is room for, published once; how many.
  std::size_t push(std::span<const T> many) noexcept requires std::is_trivially_copyable_v<T> {
    const std::size_t count = std::min(many.size(), room(many.size()));
    const std::size_t at = static_cast<std::size_t>(q_->staged_) & q_->mask_, to_end = std::min(count, q_->capacity() - at);
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

  /// Elements there. Looks at the producer's index only when the copy of it says fewer than `wanted`.
  [[nodiscard]] std::size_t available(std::size_t wanted = 1) noexcept {
    std::size_t there = static_cast<std::size_t>(q_->tail_seen_ - q_->taken_);
    if (there < wanted) {
      // SYNC spsc_tail: without it what stands in the cells could be older than the index.
      q_->tail_seen_ = q_->tail_.load(std::memory_order_acquire);
      there = static_cast<std::size_t>(q_->tail_seen_ - q_->taken_);
    }
    return there;
  }
  [[nodiscard]] bool empty() noexcept { return available() == 0; }
  /// The number of the oldest, counted since the queue was made.
  [[nodiscard]] std::uint64_t begin() const noexcept { return q_->taken_; }
  /// The i-th from the oldest, i < available(), in place, until it is released.
  [[nodiscard]] T& front(std::size_t i = 0) noexcept { return *q_->cell(q_->taken_ + i); }
  /// Destroys the oldest `count` and gives their cells back, at once.
  void release(std::size_t count) noexcept {
    if constexpr (!std::is_trivially_destructible_v<T>) {
      for (std::size_t i = 0; i < count; ++i) {
        std::destroy_at(q_->cell(q_->taken_ + i));
      }
    }
    q_->taken_ += count;
    // SYNC spsc_head: all reading of these cells comes before they may be written again.
    q_->head_.store(q_->taken_, std::memory_order_release);
  }
  /// The oldest, moved out; false: there is none.
  bool pop(T& into) noexcept(std::is_nothrow_move_assignable_v<T>) {
    if (q_->tail_seen_ == q_->taken_) {
      const std::size_t there = available();
      if (there == 0) {
        base::relax();
        return false;
      }
      if (there < few) {
        keep_distance(there);
      }
    }
    into = std::move(front());
    release(1);
    return true;
  }
  /// As many as there are and fit, given back at once; how many.
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
  /// A consumer at the heels of its producer takes both lines, index and cell, from it for every element: slower than either side alone. So
  /// it falls back a little, for as long as that has let several more come; where one element at a time goes to and fro it is tried now and
  /// then, for one pause.
  void keep_distance(std::size_t there) noexcept {
    if (pauses_ == 0 && ++small_looks_ % try_every != 0) {
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
  std::uint32_t small_looks_ = 0;
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
