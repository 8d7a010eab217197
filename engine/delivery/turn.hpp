// The state of one turn of one handle, on the stack.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "cpg/codec.hpp"
#include "cpg/send_queue.hpp"
#include "delivery/recipient.hpp"
#include "dispatch/descriptor.hpp"
#include "ipc/connection.hpp"
#include "reactor/source.hpp"

namespace cpgring::delivery {

struct turn {
  turn(const reactor::turn_budget& b, handle h, ipc::connection& c) noexcept
      : budget(b), self(std::move(h)), ring(c.events()) {}

  // Limit of chunks per turn: events without a callback do not count in the budget, but they take time.
  static constexpr std::uint32_t taken_max = 4096;
  [[nodiscard]] bool spent() const noexcept {
    return events >= budget.events || bytes >= budget.bytes || taken >= taken_max;
  }
  [[nodiscard]] std::uint32_t events_left() const noexcept { return budget.events - events; }

  const reactor::turn_budget& budget;
  handle self;
  ipc::ring_reader& ring;
  dispatch::descriptor_batch batch;  // taken off the ring, not yet handed to the lane
  std::uint64_t batch_claim = 0;     // claim of the first of them
  std::byte* batch_copy = nullptr;   // not null: the batch is one message, in this copy of its event
  std::uint32_t batch_copy_size = 0;
  cpg::queued_multicast* confirmed = nullptr;  // entry of the last message of the batch, if it has one
  cpg::event decoded;
  std::uint32_t events = 0;  // callbacks run or handed over
  std::uint64_t bytes = 0;   // payload of them
  std::uint32_t taken = 0;   // chunks taken off the ring
  bool leased = false;       // a callback may have left a lease
};

/// The result of one batch in a lane.
struct batch_outcome {
  std::uint32_t events = 0;
  std::uint64_t bytes = 0;
  std::optional<error> failure;  // a callback threw
};

/// Reports of the pump and the lanes to their link.
class pump_listener {
 public:
  /// The connection is unusable.
  virtual void lost(error why) = 0;
  /// The handle is to be closed: a callback threw, or the handle's overload policy requires it.
  virtual void ended(error why) = 0;
  /// Counters or the session's state have changed: other threads and timers must see that.
  virtual void publish() = 0;
  /// Workers have finished something. `turn_wanted`: a turn that was blocked may continue now; otherwise only
  /// the end of the handle may.
  virtual void can_continue(bool turn_wanted) = 0;
  /// The outage that has ended, for on_restored.
  virtual restoration restored() = 0;

 protected:
  ~pump_listener() = default;
};

}  // namespace cpgring::delivery
