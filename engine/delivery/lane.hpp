// The concept of a lane, the place where the callbacks of a handle run. The pump is one template over the two
// lanes, inline_lane and worker_lane.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "delivery/turn.hpp"

namespace cpgring::delivery {

template <class T>
concept lane = requires(T l, const T c, turn& t, std::uint64_t& sequence, bool (*keep_going)(), void (*f)()) {
  /// Callbacks run on other threads.
  { T::on_workers } -> std::convertible_to<bool>;
  /// Something can be handed over now. May first send an exclusive call that waits.
  { l.ready(t) } -> std::same_as<bool>;
  /// The number of messages that messages() takes at least.
  { c.room() } -> std::same_as<std::uint32_t>;
  /// Takes the whole batch, in order.
  { l.messages(t, std::string_view(), sequence, keep_going) } -> std::same_as<batch_outcome>;
  /// Runs `f` alone in its handle, after everything handed over before. true: `f` completes a request.
  { l.call(t, f, true) } -> std::same_as<std::optional<error>>;
  /// No callback of the handle runs or waits elsewhere.
  { c.alone() } -> std::same_as<bool>;
  /// Makes what was handed over visible to the workers.
  l.flush();
};

}  // namespace cpgring::delivery
