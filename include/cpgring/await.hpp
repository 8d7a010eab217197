// Awaitable operations for coroutines of any coroutine type. Each wraps a call with a completion callback.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <cpgring/error.hpp>
#include <cpgring/event.hpp>
#include <cpgring/handle.hpp>

namespace cpgring {

/// `co_await awaitable_multicast(handle, payload, deadline)` is handle::multicast_confirmed() as an
/// expression of type multicast_outcome.
/// - If the call is refused at once, the coroutine is not suspended; the outcome is not_sent with that error.
/// - Otherwise the coroutine resumes inside the confirmation callback: after on_message of its message, on
///   the driving thread or on a worker. As in every callback, code that runs there must not block.
/// - The payload is read during `co_await` only; it may be freed once the coroutine is suspended.
/// - engine::shut_down() and the engine's destructor resume the coroutine with the outcome not_sent or
///   unknown. A destructor that runs inside a callback or in a child process does not.
class awaitable_multicast {
 public:
  awaitable_multicast(handle to, std::span<const std::byte> payload,
                      std::chrono::milliseconds deadline) noexcept
      : to_(std::move(to)), payload_(payload), deadline_(deadline) {}
  /// The deadline is handle_options::control_deadline.
  awaitable_multicast(handle to, std::span<const std::byte> payload) noexcept
      : to_(std::move(to)), payload_(payload) {}
  awaitable_multicast(handle to, std::string_view payload) noexcept
      : awaitable_multicast(std::move(to), std::as_bytes(std::span(payload.data(), payload.size()))) {}
  awaitable_multicast(handle to, std::string_view payload, std::chrono::milliseconds deadline) noexcept
      : awaitable_multicast(std::move(to), std::as_bytes(std::span(payload.data(), payload.size())),
                            deadline) {}

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiting) {
    // The coroutine may resume on another thread before multicast_confirmed() returns, and may destroy this
    // object. So after a success no member is touched.
    confirmation done = [this, waiting](const multicast_outcome& o) {
      outcome_ = o;
      waiting.resume();
    };
    auto asked = deadline_ ? to_.multicast_confirmed(payload_, *deadline_, std::move(done))
                           : to_.multicast_confirmed(payload_, std::move(done));
    if (asked) {
      return true;
    }
    outcome_.cause = std::move(asked.error());
    return false;
  }
  multicast_outcome await_resume() noexcept { return std::move(outcome_); }

 private:
  handle to_;
  const std::span<const std::byte> payload_;
  const std::optional<std::chrono::milliseconds> deadline_;
  multicast_outcome outcome_;
};

}  // namespace cpgring

#endif
