#include "ipc/ring_reader.hpp"

#include <fmt/format.h>

namespace cpgring::ipc {

ring_reader::ring_reader(const shared_ring& ring) noexcept : ring_(ring) {
  const std::uint32_t at = base::read_once_u32(ring.read_position());
  if (at >= ring.words()) {
    broken("read position", at, ring.words() - 1);
  } else {
    scan_ = read_ = at;
  }
}

look ring_reader::broken(const char* field, std::uint64_t value, std::uint64_t allowed) noexcept {
  if (!broken_) {
    broken_ = true;
    fault_field_ = field;
    fault_value_ = value;
    fault_allowed_ = allowed;
  }
  ready_ = UINT32_MAX;  // so that whoever drains this ring comes by here again, and not to an empty ring
  return look::broken;
}

error ring_reader::fault() const {
  return {errc::malformed, fmt::format("the service's ring holds a {} of {:#x}, expected {} {:#x}; this connection ended", fault_field_,
                                       fault_value_, fault_field_ == std::string_view("chunk magic") ? "exactly" : "at most", fault_allowed_)};
}

}  // namespace cpgring::ipc
