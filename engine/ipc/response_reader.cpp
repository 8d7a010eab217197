#include "ipc/response_reader.hpp"

namespace cpgring::ipc {
namespace {

constexpr std::size_t header_id = 0, header_size = 8, header_error = 16;

constexpr std::uint64_t ring_bytes(std::uint32_t payload) noexcept {
  return std::uint64_t{chunk_format::words_of(payload)} * 4;
}

}  // namespace

void response_reader::expect(std::uint32_t id, std::uint32_t size, std::uint64_t token) {
  expected_.push_back({id, size, token});
  expected_bytes_ += ring_bytes(size);
}

bool response_reader::room_for(std::uint32_t size) const noexcept {
  return expected_bytes_ + ring_.leased_bytes() + size + chunk_format::spare_bytes < ring_.capacity_bytes();
}

read_result response_reader::refuse(base::refusal what) noexcept {
  if (!refused_) {
    refused_ = what;
  }
  return read_result::broken;
}

error response_reader::fault() const {
  return ring_.broken() ? ring_.fault() : refused_.to_error("an answer of the service:");
}

read_result response_reader::next(answer& out) {
  if (refused_) {
    return read_result::broken;
  }
  ring_.reclaim(ring_.leased());
  if (ring_.ready() == 0 && ring_.collect() == 0) {
    return read_result::empty;
  }
  frame bytes;
  if (ring_.next(bytes) != read_result::frame) {
    return read_result::broken;
  }
  if (expected_.empty()) {
    return refuse({"the number of answers beyond the requests", 1, 0, 0});
  }
  if (bytes.size < header_bytes) {
    return refuse({"the length of the chunk", bytes.size, header_bytes, header_bytes});
  }
  const expectation oldest = expected_.front();
  const std::uint32_t id = base::read_once_u32(bytes.data + header_id);
  const std::uint32_t size = base::read_once_u32(bytes.data + header_size);
  const std::int32_t code = base::read_once_i32(bytes.data + header_error);
  // A bare error. Its `id` is 0 if the service's dispatcher answered in place of the request's own code.
  const bool bare = bytes.size == header_bytes && (id == 0 || id == oldest.id) && code != error_ok;
  if (id != oldest.id && !bare) {
    return refuse({"the id", id, oldest.id, oldest.id});
  }
  if (bytes.size != oldest.size && !bare) {
    return refuse({"the length of the chunk", bytes.size, oldest.size, oldest.size});
  }
  if (size != bytes.size) {
    return refuse({"the size in the header", size, bytes.size, bytes.size});
  }
  out = {oldest.token, bytes, code};
  expected_.pop_front();
  expected_bytes_ -= ring_bytes(oldest.size);
  return read_result::frame;
}

}  // namespace cpgring::ipc
