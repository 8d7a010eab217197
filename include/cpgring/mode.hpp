// The modes of cpg_dispatch(3) as policies of one engine, each with a budget.
#pragma once

#include <chrono>
#include <cstdint>

namespace cpgring {

/// How a dispatch call takes what waits. Meanings as in cpg_dispatch(3); one event = one message, view, state change,
/// writable notice, answer to a query, timer or posted function, i.e. one callback of the user's.
enum class mode {
  one,              ///< CS_DISPATCH_ONE: block until one callback has run, run exactly one
  one_nonblocking,  ///< CS_DISPATCH_ONE_NONBLOCKING: run one if one waits, else errc::try_again
  all,              ///< CS_DISPATCH_ALL: run what waited when the call began; does not block; success even if nothing waited
  blocking,         ///< CS_DISPATCH_BLOCKING: run callbacks until stop(); never returns by itself
};

/// Bounds of one dispatch call; 0 = no bound. The call returns once a bound is reached and says in dispatched::more
/// whether something still waits. At least one event is taken before `bytes` or `time` end the call.
/// `mode::blocking` with a budget returns when the budget is used up; without one it never does.
struct budget {
  std::uint32_t events = 0;          ///< callbacks
  std::uint64_t bytes = 0;           ///< payload bytes of messages
  std::chrono::nanoseconds time{0};  ///< wall time; looked at between turns of handles (a turn takes at most 256 events)
};

/// What a dispatch call did.
struct dispatched {
  std::uint32_t events = 0;  ///< callbacks run
  std::uint64_t bytes = 0;   ///< payload bytes of the messages among them
  bool more = false;         ///< a bound ended the call while something still waited
};

}  // namespace cpgring
