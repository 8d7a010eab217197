// Awaitable forms, for coroutines of whatever kind: they resume where the callback that they stand for would run.
#pragma once

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

/// The outcome as a value that may be kept. See multicast_outcome.
struct confirmed {
  multicast_fate fate = multicast_fate::not_sent;
  std::uint64_t sequence = 0;
  std::optional<error> cause;  ///< why not; with what handle::multicast_confirmed() refuses at once, too
  explicit operator bool() const noexcept { return fate == multicast_fate::confirmed; }
};

/// `co_await awaitable_multicast(handle, payload, deadline)`: handle::multicast_confirmed() as an expression of type `confirmed`.
/// The payload is read when it is awaited, not later. The coroutine resumes inside the confirmation: behind on_message of its message, on
/// the driving thread or the worker; without having been suspended where the call is refused. Like any callback it is not to block there.
/// One that is not resumed because the engine's destructor came first stays suspended: end with engine::shut_down(), which resumes it.
class awaitable_multicast {
 public:
  awaitable_multicast(handle to, std::span<const std::byte> payload, std::chrono::milliseconds deadline) noexcept
      : to_(std::move(to)), payload_(payload), deadline_(deadline) {}
  awaitable_multicast(handle to, std::string_view payload, std::chrono::milliseconds deadline) noexcept
      : awaitable_multicast(std::move(to), std::as_bytes(std::span(payload.data(), payload.size())), deadline) {}

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiting) {
    // It may resume on another thread before this call returns, and be gone then: nothing of it is touched after a success.
    auto asked = to_.multicast_confirmed(payload_, deadline_, [this, waiting](const multicast_outcome& o) {
      outcome_.fate = o.fate;
      outcome_.sequence = o.sequence;
      if (o.cause != nullptr) {
        outcome_.cause = *o.cause;
      }
      waiting.resume();
    });
    if (asked) {
      return true;
    }
    outcome_.cause = std::move(asked.error());
    return false;
  }
  confirmed await_resume() noexcept { return std::move(outcome_); }

 private:
  handle to_;
  const std::span<const std::byte> payload_;
  const std::chrono::milliseconds deadline_;
  confirmed outcome_;
};

}  // namespace cpgring
