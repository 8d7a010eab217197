// The error of a multicast on a handle that is not joined.
#pragma once

#include <cpgring/event.hpp>
#include <cpgring/result.hpp>

namespace cpgring::cpg {

/// errc::not_joined, with a text that says what the handle lacks in this state.
inline failure not_joined(handle_state state) {
  switch (state) {
    case handle_state::connecting:
      return fail(errc::not_joined, "the handle is still connecting: multicast once it is joined (on_state)");
    case handle_state::ready: return fail(errc::not_joined, "the handle is in no group: join() one first");
    case handle_state::joining:
      return fail(errc::not_joined, "the join is under way: multicast once the handle is joined (on_state)");
    case handle_state::leaving: return fail(errc::not_joined, "the handle is leaving its group");
    case handle_state::left: return fail(errc::not_joined, "the handle has left its group: open a new one");
    case handle_state::joined:
    case handle_state::lost:
    case handle_state::closed: break;
  }
  return fail(errc::not_joined);
}

/// The same for an engine that no thread has driven yet.
inline failure not_driven() {
  return fail(errc::not_joined,
              "nobody drives the engine, so the handle can't join: call start(), run() or dispatch()");
}

}  // namespace cpgring::cpg
