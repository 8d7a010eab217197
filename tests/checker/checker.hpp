// Compares what the processes of one group delivered, and reports where CPG's promises were broken.
//
// - no creation: a delivered message was sent by the life that it names, and was not reported as not sent.
// - no duplicates: a process delivers a message once.
// - membership: a process delivers nothing between the view in which it left and the view in which it
// returned.
// - total order: two processes deliver their common messages in the same order.
// - no holes: between two messages of one sender none is missing, unless a view shows that the sender or the
// receiver was away, or there is a gap, or the message was reported as not sent.
// - self-delivery: a process delivered each own message that was confirmed to it.
// - virtual synchrony: two processes that go together from one view to the next delivered the same messages
// between these views.
//
// Views of two processes are not matched by their ids, because ring ids repeat (the embedded service has one
// for ever) and a process that lost its connection may have missed views. A message that both delivered
// between equal views shows that these views are the same; from there the views are matched one by one as
// long as they are equal.
#pragma once

#include <string>
#include <vector>

#include "checker/history.hpp"

namespace cpgring::checker {

struct violation {
  std::string promise;  ///< one of the names above
  std::string text;     ///< which processes, messages, views
};

struct verdict {
  std::vector<violation> violations;  ///< at most 20 of each promise; `more` counts the rest
  std::uint64_t more = 0;
  // How much was compared: a verdict over nothing proves nothing.
  std::uint64_t messages = 0, views = 0, orders_compared = 0, steps_compared = 0;

  [[nodiscard]] bool good() const noexcept { return violations.empty(); }
  [[nodiscard]] std::string text() const;
};

verdict check(const std::vector<history>& processes);

}  // namespace cpgring::checker
