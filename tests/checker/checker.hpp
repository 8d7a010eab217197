// Compares what processes of one group delivered, and says where CPG's promises were broken.
//
// - no creation: what is delivered was sent, by the life that it names, and its sender was not told that nobody would deliver it.
// - no duplicates: one process delivers a message once.
// - membership: nothing is delivered between the view in which a process left and the one in which it is back.
// - total order: two processes deliver what both deliver in the same order.
// - no holes: between two messages of one sender none is missing, unless a view says that the sender was away, or that we were, or a gap,
//   or the sender was told that it would not be delivered.
// - self-delivery: what a process was told to be known to all, it delivered itself.
// - virtual synchrony: two processes that go together from one view to the next delivered the same messages between them.
//
// Which views of two processes are the same one is not read off their names, because a ring's id comes back (the embedded service has one
// for ever) and because who lost its connection may have missed some: a message that both delivered, each between equal views, says that
// these are the same, and from there it goes on, view by view, as far as their views are equal.
#pragma once

#include <string>
#include <vector>

#include "checker/history.hpp"

namespace cpgring::checker {

struct violation {
  std::string promise;  ///< as named above
  std::string text;     ///< which processes, messages, views
};

struct verdict {
  std::vector<violation> violations;  ///< at most 20 of each promise; `more` counts the rest
  std::uint64_t more = 0;
  // What was looked at: a verdict over nothing says nothing.
  std::uint64_t messages = 0, views = 0, orders_compared = 0, steps_compared = 0;

  [[nodiscard]] bool good() const noexcept { return violations.empty(); }
  [[nodiscard]] std::string text() const;
};

verdict check(const std::vector<history>& processes);

}  // namespace cpgring::checker
