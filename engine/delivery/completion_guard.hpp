// A completion of the user that must be called exactly once. The holder of the request destroys the guard at
// the engine's end at the latest; a completion without an outcome is then called with errc::stopped. Used by
// the driving thread, or by the thread that ends the engine.
#pragma once

#include <type_traits>
#include <utility>

#include <cpgring/event.hpp>
#include <cpgring/log.hpp>
#include <cpgring/result.hpp>

#include "delivery/request_slots.hpp"
#include "dispatch/deliver.hpp"

namespace cpgring::delivery {

template <class Outcome>
class completion_guard {
 public:
  /// Precondition: `log` outlives the guard.
  completion_guard(const log_callback& log, function<void(Outcome)> done,
                   request_slots::slot slot = {}) noexcept
      : log_(log), done_(std::move(done)), slot_(std::move(slot)) {}
  completion_guard(const completion_guard&) = delete;
  completion_guard& operator=(const completion_guard&) = delete;
  ~completion_guard() {
    if (done_) {
      if (auto thrown = dispatch::deliver([this] { complete_with_stopped(); }); thrown && log_) {
        log_(log_level::error, "a completion at the engine's end: " + thrown->message());
      }
    }
  }
  /// Calls the completion with its outcome. Only the first call has an effect.
  template <class Value>
  void call(Value&& outcome) {
    if (auto done = std::exchange(done_, nullptr)) {
      slot_ = {};  // the completion may make a new request
      done(std::forward<Value>(outcome));
    }
  }
  /// The completion is not called: the request failed at once, with a result of its own.
  void forget() noexcept { done_ = nullptr; }

 private:
  void complete_with_stopped() {
    const error why(errc::stopped, "the engine ended before the request was answered");
    if constexpr (std::is_same_v<Outcome, const multicast_outcome&>) {
      call(multicast_outcome{multicast_fate::not_sent, 0, why});
    } else {
      call(Outcome(fail(why)));
    }
  }

  const log_callback& log_;
  function<void(Outcome)> done_;
  request_slots::slot slot_;
};

}  // namespace cpgring::delivery
