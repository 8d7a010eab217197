// May we write now? The service's control word, the ring's reference count, room in the ring, the doorbell's debt and what is outstanding,
// as one answer.
#pragma once

#include <cstdint>

namespace cpgring::ipc {

enum class writable {
  yes,
  flow_control,  ///< the service holds all clients back; a byte sent now would make a stock daemon spin
  ring_full,     ///< no room yet for the request that was last refused
  outstanding,   ///< it has not taken enough of what it was sent
  hung_up,       ///< it has let go of the rings, or broke them
};

struct flow_signals {
  std::uint32_t control_word;     // 0: send
  std::uint32_t reference_count;  // 2: both sides are there
  bool has_room;
  std::uint32_t outstanding;  // staged or published, not yet taken
  std::uint32_t outstanding_max;
  std::uint32_t doorbells_owed;
};

/// The reason that lasts longest comes first.
constexpr writable may_write(const flow_signals& s) noexcept {
  if (s.reference_count != 2) {
    return writable::hung_up;
  }
  if (s.control_word != 0) {
    return writable::flow_control;
  }
  if (s.doorbells_owed != 0 || s.outstanding >= s.outstanding_max) {
    return writable::outstanding;
  }
  return s.has_room ? writable::yes : writable::ring_full;
}

}  // namespace cpgring::ipc
