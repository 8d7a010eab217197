#include "ipc/response_reader.hpp"

#include <fmt/format.h>

namespace cpgring::ipc {

look response_reader::refuse(const char* field, std::uint64_t value, std::uint64_t expected) {
  fault_ = error(errc::malformed, fmt::format("the service answered with a {} of {}, expected {}; this connection ended", field, value, expected));
  return look::broken;
}

look response_reader::next(answer& out) {
  ring_.reclaim(ring_.leased());
  if (ring_.ready() == 0 && ring_.collect() == 0) {
    return look::empty;
  }
  frame bytes;
  switch (ring_.next(bytes)) {
    case look::empty: return look::empty;
    case look::broken: fault_ = ring_.fault(); return look::broken;
    case look::frame: break;
  }
  if (expected_.empty()) {
    return refuse("number of open requests", 0, 1);
  }
  if (bytes.size < header_bytes) {
    return refuse("size", bytes.size, header_bytes);
  }
  const expectation& oldest = expected_.front();
  const std::uint32_t id = base::read_once_u32(bytes.data);
  const bool bare = bytes.size == header_bytes;
  if (!bare && bytes.size < oldest.size) {
    return refuse("size", bytes.size, oldest.size);
  }
  if (id != oldest.id && !(bare && id == 0)) {
    return refuse("id", id, oldest.id);
  }
  out = {oldest.token, bytes};
  expected_.pop_front();
  return look::frame;
}

}  // namespace cpgring::ipc
