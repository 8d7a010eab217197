// A function of the user's that is owed one call. Whatever holds the request lets go of it at the engine's end at the latest; one that has
// had no outcome by then hears errc::stopped there. The driving thread, or whichever ends the engine.
#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include <cpgring/error.hpp>
#include <cpgring/event.hpp>

#include "dispatch/deliver.hpp"
#include "runtime/engine_core.hpp"
#include "runtime/request_slots.hpp"

namespace cpgring::runtime {

template <class Outcome>
class owed_call {
 public:
  /// `core` outlives it: it holds all requests.
  owed_call(const engine_core& core, std::function<void(Outcome)> done, request_slots::slot slot = {}) noexcept
      : core_(core), done_(std::move(done)), slot_(std::move(slot)) {}
  owed_call(const owed_call&) = delete;
  owed_call& operator=(const owed_call&) = delete;
  ~owed_call() {
    if (done_) {
      if (auto thrown = dispatch::deliver([this] { say_stopped(); })) {
        core_.log(log_level::error, "an answer at the engine's end: " + thrown->message());
      }
    }
  }
  /// The outcome; none after the first is heard.
  template <class Value>
  void call(Value&& outcome) {
    if (auto done = std::exchange(done_, nullptr)) {
      slot_ = {};  // whoever is told may ask again
      done(std::forward<Value>(outcome));
    }
  }
  /// The caller is told by the call's own result.
  void forget() noexcept { done_ = nullptr; }

 private:
  void say_stopped() {
    const error why(errc::stopped, "the engine ended before there was an answer");
    if constexpr (std::is_same_v<Outcome, const multicast_outcome&>) {
      call(multicast_outcome{multicast_fate::not_sent, 0, &why});
    } else {
      call(Outcome(fail(why)));
    }
  }

  const engine_core& core_;
  std::function<void(Outcome)> done_;
  request_slots::slot slot_;
};

}  // namespace cpgring::runtime
