// Writes records into one pack. The bytes are in private memory, or reserved in the request ring.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/put.hpp"
#include "channel/pack_format.hpp"

namespace cpgring::channel {

/// The header of a pack, without its flags. `number`: 1, 2, 3 ... over the packs of this stay.
inline void put_pack_header(std::byte* at, std::uint32_t stay, std::uint32_t number) noexcept {
  base::put(at, pack::magic);
  base::put(at + pack::stay_at, stay);
  base::put(at + pack::number_at, number);
  base::put(at + pack::header_length_at, static_cast<std::uint16_t>(pack::header_bytes));
}
/// Returns where the payload begins. Precondition: `size` is at most pack::record_max.
inline std::byte* put_record_header(std::byte* at, std::uint16_t kind, std::size_t size) noexcept {
  base::put(at, kind);
  base::put(at + 2, static_cast<std::uint16_t>(size));
  return at + pack::record_header_bytes;
}

class pack_writer {
 public:
  /// `to`: at least pack::header_bytes.
  pack_writer(std::byte* to, std::size_t capacity, std::uint32_t stay, std::uint32_t number) noexcept
      : to_(to), capacity_(capacity) {
    put_pack_header(to, stay, number);
    base::put(to + pack::flags_at, std::uint16_t{0});
  }

  /// Room for a payload of `size` bytes, at most pack::record_max, to be written before finish(). Null: the
  /// pack is full.
  [[nodiscard]] std::byte* add(std::uint16_t kind, std::size_t size) noexcept {
    const std::size_t wanted = pack::record_header_bytes + pack::padded(size);
    if (size > pack::record_max || wanted > capacity_ - size_) {
      return nullptr;
    }
    std::byte* const payload = put_record_header(to_ + size_, kind, size);
    std::memset(payload + size, 0, pack::padded(size) - size);
    size_ += wanted;
    ++records_;
    control_ = control_ || kind >= pack::optional;
    return payload;
  }
  /// Returns the size of the pack.
  [[nodiscard]] std::size_t finish() noexcept {
    base::put(to_ + pack::flags_at, control_ ? pack::has_control : std::uint16_t{0});
    return size_;
  }
  [[nodiscard]] std::uint32_t records() const noexcept { return records_; }
  [[nodiscard]] std::size_t room() const noexcept { return capacity_ - size_; }

 private:
  std::byte* const to_;
  const std::size_t capacity_;
  std::size_t size_ = pack::header_bytes;
  std::uint32_t records_ = 0;
  bool control_ = false;
};

}  // namespace cpgring::channel
