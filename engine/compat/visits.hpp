// What calls of cpg_dispatch() keep while callbacks run: the handle, and messages that are too large for the
// stack.
//
// It is not kept on the stack, because a callback may leave by longjmp(), which runs no destructor. The next
// call on the thread cleans up behind such a callback: an earlier call is over if its frame lies at the
// caller's own frame, or below it on the thread's own stack. For a frame elsewhere (coroutines, signal
// stacks) only the first rule applies: what it keeps stays until its address is used again or the thread
// ends.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace cpgring::compat {

/// One call of cpg_dispatch().
class visit {
 public:
  /// `bytes` of memory, aligned to 16. Valid until the next call of room() or keep(), or the end of the
  /// visit.
  std::byte* room(std::size_t bytes) {
    if (bytes > room_bytes_) {
      room_.reset();
      room_bytes_ = 0;
      room_.reset(new std::byte[bytes]);
      room_bytes_ = bytes;
    }
    return room_.get();
  }
  /// Like room(), with `message` as the content.
  std::byte* keep(std::vector<std::byte> message) noexcept {
    kept_ = std::move(message);
    return kept_.data();
  }
  void drop_kept() noexcept {
    if (kept_.capacity() != 0) {
      kept_ = {};
    }
  }

 private:
  friend class visits;
  const void* frame_ = nullptr;  // null: not in use
  std::shared_ptr<void> of_;
  std::unique_ptr<std::byte[]> room_;  // kept for the next visit
  std::size_t room_bytes_ = 0;
  std::vector<std::byte> kept_;
};

/// All visits of one thread.
class visits {
 public:
  struct stack {
    const std::byte* low = nullptr;
    const std::byte* high = nullptr;
    [[nodiscard]] bool holds(const void* at) const noexcept {
      const std::less<const void*> before;
      return !before(at, low) && before(at, high);
    }
  };

  explicit visits(stack of_the_thread) noexcept : stack_(of_the_thread) {}
  /// Throws std::bad_alloc.
  static visits& of_this_thread() {
    static const pthread_key_t key = [] {
      pthread_key_t made{};
      if (::pthread_key_create(&made, &end_of_thread) != 0) {
        throw std::bad_alloc();
      }
      return made;
    }();
    if (auto* const mine = static_cast<visits*>(::pthread_getspecific(key))) {
      return *mine;
    }
    auto made = std::make_unique<visits>(stack_of_this_thread());
    if (::pthread_setspecific(key, made.get()) != 0) {
      throw std::bad_alloc();
    }
    return *made.release();
  }

  /// `frame`: the caller's frame. Keeps `of` alive until end().
  visit& begin(const void* frame, std::shared_ptr<void> of) {
    sweep(frame);
    auto at = std::find_if(all_.begin(), all_.end(), [](const auto& one) { return one->frame_ == nullptr; });
    if (at == all_.end()) {
      at = all_.insert(at, std::make_unique<visit>());
    }
    visit& one = **at;
    one.frame_ = frame;
    one.of_ = std::move(of);
    ++open_;
    return one;
  }
  void end(visit& one) noexcept {
    --open_;
    one.frame_ = nullptr;
    one.drop_kept();
    one.of_.reset();
  }
  /// Ends the visits whose calls are over, judged by the caller's `frame`.
  void sweep(const void* frame) noexcept {
    if (open_ == 0) {
      return;
    }
    const bool known = stack_.holds(frame);
    for (const auto& one : all_) {
      const bool below = known && stack_.holds(one->frame_) && std::less<const void*>()(one->frame_, frame);
      if (one->frame_ != nullptr && (one->frame_ == frame || below)) {
        end(*one);
      }
    }
  }
  [[nodiscard]] std::size_t open() const noexcept { return open_; }

 private:
  static stack stack_of_this_thread() noexcept {
    stack found;
    pthread_attr_t attributes;
    if (::pthread_getattr_np(::pthread_self(), &attributes) == 0) {
      void* low = nullptr;
      std::size_t bytes = 0;
      if (::pthread_attr_getstack(&attributes, &low, &bytes) == 0) {
        found = {static_cast<const std::byte*>(low), static_cast<const std::byte*>(low) + bytes};
      }
      ::pthread_attr_destroy(&attributes);
    }
    return found;
  }
  static void end_of_thread(void* mine) {
    // Closing a socket is a cancellation point, and a destructor must not be one.
    ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    delete static_cast<visits*>(mine);
  }

  const stack stack_;
  std::vector<std::unique_ptr<visit>> all_;
  std::size_t open_ = 0;
};

}  // namespace cpgring::compat
