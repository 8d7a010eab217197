// Whether a request may be written now, from the service's control word, the ring's reference count, room in
// the ring, owed doorbells and outstanding requests.
#pragma once

#include <cstdint>

namespace cpgring::ipc {

enum class writable {
  yes,
  flow_control,  ///< the service holds all clients back; a byte sent now would make a stock daemon spin
  ring_full,     ///< no room for the request that was refused last
  outstanding,   ///< the service has not yet taken enough of the requests
  hung_up,       ///< the service has released the rings, or broke them
};

struct flow_signals {
  std::uint32_t control_word;     // 0: sending is allowed
  std::uint32_t reference_count;  // 2: both sides are attached
  bool has_room;
  std::uint32_t outstanding;  // requests staged or published and not yet taken
  std::uint32_t outstanding_max;
  std::uint32_t doorbells_owed;
};

/// Of several reasons, the one that lasts longest is returned.
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
