// Station D6 of 9: from dispatch/descriptor, to dispatch/deliver.
//
// Works off a batch on the thread that filled it: the policy `inline`, lowest latency. Stops behind the callback after which the
// caller no longer wants to go on (the handle was closed, the engine stopped) or that threw.
#pragma once

#include <cstdint>
#include <optional>

#include <cpgring/error.hpp>

#include "dispatch/deliver.hpp"
#include "dispatch/descriptor.hpp"
#include "dispatch/release_count.hpp"

namespace cpgring::dispatch {

struct worked {
  std::uint32_t events = 0;
  std::uint64_t bytes = 0;
  std::optional<error> failure;  // a callback threw
};

/// `call(const descriptor&)` runs the user's callback; `go_on()` is asked after each.
template <class Call, class GoOn>
worked work_inline(const descriptor_batch& batch, release_count& released, Call&& call, GoOn&& go_on) {
  worked done;
  for (const descriptor& one : batch) {
    auto thrown = deliver([&] { call(one); });
    released.add(one.ring_bytes);
    ++done.events;
    done.bytes += one.size;
    if (thrown) [[unlikely]] {
      done.failure = std::move(thrown);
      break;
    }
    if (!go_on()) {
      break;
    }
  }
  return done;
}

}  // namespace cpgring::dispatch
