// The legal state transitions of a handle, in one table. The states are the public ones.
#pragma once

#include <cpgring/event.hpp>

namespace cpgring::cpg {

constexpr bool may_move(handle_state from, handle_state to) noexcept {
  using s = handle_state;
  if (from == s::lost || from == s::closed) {
    return false;
  }
  if (to == s::lost || to == s::closed) {
    return true;
  }
  switch (from) {
    case s::connecting: return to == s::ready;
    case s::ready: return to == s::joining;
    case s::joining: return to == s::joined || to == s::ready;  // ready: refused, or timed out
    case s::joined: return to == s::leaving;
    case s::leaving: return to == s::left || to == s::joined;  // joined: refused, or timed out
    case s::left:
    case s::lost:
    case s::closed: return false;
  }
  return false;
}

static_assert(may_move(handle_state::connecting, handle_state::ready));
static_assert(!may_move(handle_state::left, handle_state::joining));
static_assert(!may_move(handle_state::lost, handle_state::closed));

}  // namespace cpgring::cpg
