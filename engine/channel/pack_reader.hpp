// Walks the records of a pack in place. The bytes are foreign, and may change while they are read: each field
// is read once, and a record is handed out only if it lies inside the pack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/checked_read.hpp"
#include "channel/pack_format.hpp"

namespace cpgring::channel {

struct pack_header {
  std::uint32_t stay = 0;    // the low half of the sender's stay
  std::uint32_t number = 0;  // of the pack, in this stay
  bool has_control = false;
};

struct pack_record {
  std::uint16_t kind = 0;
  std::uint32_t size = 0;
  std::byte* data = nullptr;
};

class pack_reader {
 public:
  enum class step { record, end, broken };

  /// `at` is aligned to 4. Nothing: these bytes are no pack, or one of another version.
  static std::optional<pack_reader> open(std::byte* at, std::size_t size, pack_header& header) noexcept {
    if (size < pack::header_bytes || size % 4 != 0 || base::read_once_u32(at) != pack::magic) {
      return std::nullopt;
    }
    const std::uint32_t last = base::read_once_u32(at + pack::header_length_at);
    const std::size_t length = last & 0xFFFF;
    if (length < pack::header_bytes || length > size || length % 4 != 0) {
      return std::nullopt;
    }
    header.stay = base::read_once_u32(at + pack::stay_at);
    header.number = base::read_once_u32(at + pack::number_at);
    header.has_control = (last >> 16 & pack::has_control) != 0;
    return pack_reader(at + length, at + size);
  }

  /// After `broken` the rest of the pack is unreadable; what came before stands.
  [[nodiscard]] step next(pack_record& one) noexcept {
    if (at_ == end_) {
      return step::end;
    }
    const std::uint32_t header = base::read_once_u32(at_);  // there are at least 4 bytes
    const std::uint32_t size = header >> 16;
    const auto left = static_cast<std::size_t>(end_ - at_) - pack::record_header_bytes;
    if (size > pack::record_max || pack::padded(size) > left) {
      return step::broken;
    }
    one.kind = static_cast<std::uint16_t>(header & 0xFFFF);
    one.size = size;
    one.data = at_ + pack::record_header_bytes;
    at_ = one.data + pack::padded(size);
    return step::record;
  }

 private:
  pack_reader(std::byte* at, std::byte* end) noexcept : at_(at), end_(end) {}

  std::byte* at_;
  std::byte* end_;
};

}  // namespace cpgring::channel
