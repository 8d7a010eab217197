// Notices: what a session reports to the user besides events, in order. Each becomes at most one callback.
#pragma once

#include <optional>
#include <variant>

#include <cpgring/event.hpp>
#include <cpgring/function.hpp>

#include "cpg/fragment_assembler.hpp"

namespace cpgring::cpg {

struct state_changed {
  handle_state from = handle_state::connecting;
  handle_state to = handle_state::connecting;
  std::optional<error> cause;
};
/// A request or a multicast has its outcome; `run` passes it to the user's completion.
struct completed {
  function<void()> run;
};
/// A sender that got try_again may try again.
struct writable {};
/// A message in fragments will not be completed.
using aborted = fragment_assembler::aborted;
/// A connection that follows a lost one is ready.
struct restored {};

using notice = std::variant<state_changed, completed, writable, aborted, restored>;

}  // namespace cpgring::cpg
