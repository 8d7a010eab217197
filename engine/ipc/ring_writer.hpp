// Station C8 of 11: from ipc/connection, to ipc/doorbell.
//
// Writes requests into a ring that the service reads: reserves room in place, stages what was filled,
// publishes all staged requests at once.
//
// One thread. Invariants:
// - I1 Nothing staged is visible to the service before publish(), because the service relies on the
//   semaphore.
// - I2 publish() is followed by that many doorbell bytes with nothing in between (connection::flush): a chunk
//   without its byte freezes a stock daemon.
// - I3 The service can change the read position and the count of requests that it has not taken. Each is
//   checked at every read, against its last value and what was published since.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <cpgring/error.hpp>

#include "base/refusal.hpp"
#include "ipc/chunk_format.hpp"
#include "ipc/shared_ring.hpp"

namespace cpgring::ipc {

class ring_writer {
 public:
  /// Most chunks that can be staged at a time.
  static constexpr std::uint32_t staged_max = 64;

  /// The mapping of `ring` outlives the writer. `name` is used in errors.
  explicit ring_writer(const shared_ring& ring, std::string_view name = "request ring") noexcept;

  /// The largest payload that fits into an empty ring.
  [[nodiscard]] std::uint32_t bytes_max() const noexcept { return words_ * 4 - chunk_format::spare_bytes; }
  /// Room for `bytes` (at most bytes_max()) of payload, 4-byte aligned, contiguous. Null: no room now, or
  /// broken. Must be followed by stage() or abandon().
  [[nodiscard]] std::byte* reserve(std::uint32_t bytes) noexcept;
  /// The first `bytes` of the reservation become a request. They may be changed until publish().
  void stage(std::uint32_t bytes) noexcept;
  void abandon() noexcept { has_reservation_ = false; }
  [[nodiscard]] std::uint32_t staged() const noexcept { return staged_; }
  /// Makes all staged requests visible, in order, and returns their number. An open reservation stays
  /// invisible behind them.
  std::uint32_t publish() noexcept;

  /// True if there is room for the reservation that was refused last, or none was refused.
  [[nodiscard]] bool has_room() noexcept { return wanted_ == 0 || fits(wanted_ - 1); }
  /// Requests published and not yet taken by the service.
  [[nodiscard]] std::uint32_t outstanding() noexcept;
  [[nodiscard]] bool broken() const noexcept { return static_cast<bool>(refused_); }
  /// Names the field. Only when broken().
  [[nodiscard]] error fault() const;

 private:
  [[nodiscard]] std::uint32_t* word(std::uint32_t position) const noexcept { return data_ + position; }
  [[nodiscard]] std::uint32_t free_words() noexcept;
  [[nodiscard]] bool fits(std::uint32_t bytes) noexcept {
    return std::uint64_t{free_words()} * 4 >= std::uint64_t{bytes} + chunk_format::spare_bytes;
  }
  void refuse(base::refusal what) noexcept;

  std::uint32_t* data_;
  std::uint64_t* semaphore_;
  std::uint32_t* write_position_;
  std::uint32_t* read_position_;
  std::uint32_t words_;
  std::uint32_t published_ = 0;        // the shared write position
  std::uint32_t position_ = 0;         // of the next chunk: published_ plus what is staged
  std::uint32_t last_read_ = 0;        // the read position, as last read
  std::uint32_t outstanding_max_ = 0;  // upper bound of the semaphore's value
  std::uint32_t reserved_ = 0;
  std::uint32_t wanted_ = 0;  // 1 + the payload that was refused last; 0: none was refused
  std::uint32_t staged_ = 0;
  bool has_reservation_ = false;
  base::refusal refused_;
  std::string_view name_;
  std::array<std::uint32_t, staged_max> starts_;
};

}  // namespace cpgring::ipc
