// An object that other threads use while its owner may take it away: each use is a visit, and the owner waits
// for all visits to end. Modelled in tests/model/engine_end.pml.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace cpgring::base {

template <class T>
class visited {
 public:
  /// One use, by any thread. Must be short.
  class visit {
   public:
    explicit visit(const visited& of) noexcept : of_(of) {
      // SYNC visited: close() waits for a visitor that is counted before it reads closed_ or what_; a visitor
      // that is counted later reads both as close() has left them.
      of_.visitors_.fetch_add(1, std::memory_order_seq_cst);
    }
    ~visit() {
      // SYNC visited: all use of the object, and everything else that the visitor did, comes before this.
      of_.visitors_.fetch_sub(1, std::memory_order_seq_cst);
    }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    /// True if close() has not begun; it then waits for this visit.
    // SYNC visited: see the constructor; a weaker load could be reordered before the count.
    [[nodiscard]] bool is_open() const noexcept { return !of_.closed_.load(std::memory_order_seq_cst); }
    /// The object, which stays valid during the visit. Null: there is none.
    // SYNC visited: seq_cst, so that either the visitor finds the object, or its owner's first check after
    // show() finds what the visitor did before.
    [[nodiscard]] T* get() const noexcept { return of_.what_.load(std::memory_order_seq_cst); }

   private:
    const visited& of_;
  };

  /// The owner makes the object available to visitors.
  void show(T& what) noexcept {
    // SYNC visited: what visitors did before is found by a check after this.
    what_.store(&what, std::memory_order_seq_cst);
  }
  /// The owner takes the object away. When this returns, all visits have ended and no further one finds the
  /// object.
  void close() noexcept {
    // SYNC visited: from here on no new visitor finds it open, or finds the object.
    closed_.store(true, std::memory_order_seq_cst);
    what_.store(nullptr, std::memory_order_seq_cst);
    // SYNC visited: a read before these stores could miss a visitor that has not seen them. A visit lasts a
    // few instructions and at most one write() call.
    while (visitors_.load(std::memory_order_seq_cst) != 0) {
      std::this_thread::yield();
    }
  }
  /// Any thread; may be out of date. Relaxed: nothing is published with it.
  [[nodiscard]] bool closed() const noexcept { return closed_.load(std::memory_order_relaxed); }

 private:
  std::atomic<T*> what_{nullptr};
  mutable std::atomic<std::uint32_t> visitors_{0};
  std::atomic<bool> closed_{false};
};

}  // namespace cpgring::base
