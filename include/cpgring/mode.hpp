// The modes of cpg_dispatch(3), each with a budget.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <chrono>
#include <cstdint>

namespace cpgring {

/// Which events a dispatch call takes, as in cpg_dispatch(3). One event is one callback of the user: a
/// message, a view, a change of state, on_writable, the answer to a query, a timer or a posted function.
enum class mode {
  one,              ///< CS_DISPATCH_ONE: block until one callback has run; run exactly one
  one_nonblocking,  ///< CS_DISPATCH_ONE_NONBLOCKING: run one if one waits, else errc::try_again
  /// CS_DISPATCH_ALL: run the events that waited when the call began. Does not block; succeeds even if none
  /// waits.
  all,
  blocking,  ///< CS_DISPATCH_BLOCKING: run callbacks until stop(); never returns by itself
};

/// Bounds of one dispatch call; 0 means no bound. The call returns once a bound is reached, in mode
/// `blocking` too, and dispatched::more tells whether something still waits. If an event waits, at least one
/// is taken before `bytes` or `time` end the call. In modes `one` and `blocking`, `time` also limits the wait
/// for the first event: the call then succeeds with 0 events.
struct budget {
  std::uint32_t events = 0;  ///< callbacks
  std::uint64_t bytes = 0;   ///< payload bytes of messages
  /// Elapsed time, checked between the turns of handles. A turn takes at most 256 events.
  std::chrono::nanoseconds time{0};
};

/// The result of a dispatch call.
struct dispatched {
  std::uint32_t events = 0;  ///< callbacks that ran
  std::uint64_t bytes = 0;   ///< payload bytes of the messages among them
  bool more = false;         ///< a bound ended the call while something still waited
};

}  // namespace cpgring

#endif
