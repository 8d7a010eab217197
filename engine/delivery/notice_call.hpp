// Turns a notice of the session into a call of the user's code.
#pragma once

#include <cpgring/event.hpp>
#include <cpgring/handle.hpp>

#include "cpg/notice.hpp"

namespace cpgring::delivery {

/// The user has set a callback for this notice.
[[nodiscard]] bool has_callback(const callbacks& calls, const cpg::notice& what) noexcept;

/// Calls the user's callback for one notice; for a completion, completed::run itself.
struct notice_call {
  const callbacks* calls;
  handle self;
  cpg::notice what;
  restoration back;  // for `restored`

  void operator()();
};

}  // namespace cpgring::delivery
