// Writes records into one pack. The bytes are in private memory, or reserved in the request ring.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/put.hpp"
#include "channel/pack_format.hpp"

namespace cpgring::channel {

class pack_writer {
 public:
  /// `to`: at least pack::header_bytes. `number`: 1, 2, 3 ... over the packs of this stay.
  pack_writer(std::byte* to, std::size_t capacity, std::uint32_t stay, std::uint32_t number) noexcept
      : to_(to), capacity_(capacity) {
    base::put(to, pack::magic);
    base::put(to + pack::stay_at, stay);
    base::put(to + pack::number_at, number);
    base::put(to + pack::header_length_at, static_cast<std::uint16_t>(pack::header_bytes));
    base::put(to + pack::flags_at, std::uint16_t{0});
  }

  /// Room for a payload of `size` bytes, at most pack::record_max, to be written before finish(). Null: the
  /// pack is full.
  [[nodiscard]] std::byte* add(std::uint16_t kind, std::size_t size) noexcept {
    const std::size_t wanted = pack::record_header_bytes + pack::padded(size);
    if (size > pack::record_max || wanted > capacity_ - size_) {
      return nullptr;
    }
    std::byte* const at = to_ + size_;
    base::put(at, kind);
    base::put(at + 2, static_cast<std::uint16_t>(size));
    std::memset(at + wanted - pack::padded(size) + size, 0, pack::padded(size) - size);
    size_ += wanted;
    ++records_;
    control_ = control_ || kind >= pack::optional;
    return at + pack::record_header_bytes;
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
