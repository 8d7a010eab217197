// Station C4 of 7: from cpg/session, to ipc/doorbell.
//
// Writes requests into a ring that the service reads: reserve room in place, stage what was filled, publish all that is staged at once. One
// thread. Invariants: I1 nothing staged is visible to the service before publish(): it goes by the semaphore. I2 publish() is followed by
// that many doorbell bytes with nothing in between (connection::flush): a chunk without its byte freezes a stock daemon. I3 the read
// position and the count of what the service has not yet taken are foreign: each is checked every time it is read, against what it was
// before and what was published since.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <cpgring/error.hpp>

#include "base/refuse.hpp"
#include "ipc/chunk_format.hpp"
#include "ipc/shared_ring.hpp"

namespace cpgring::ipc {

class ring_writer {
 public:
  /// Chunks staged at a time.
  static constexpr std::uint32_t staged_max = 64;

  /// `ring` outlives the writer; its mapping must not move. `name` is for errors.
  explicit ring_writer(const shared_ring& ring, std::string_view name = "request ring") noexcept;

  /// The largest payload that an empty ring takes.
  [[nodiscard]] std::uint32_t bytes_max() const noexcept { return words_ * 4 - chunk_format::spare_bytes; }
  /// Room for `bytes` (at most bytes_max()) of payload, 4-byte aligned, contiguous; null: none now, or broken. Then stage() or abandon().
  [[nodiscard]] std::byte* reserve(std::uint32_t bytes) noexcept;
  /// The first `bytes` of what was reserved are a request. They may still be changed until publish().
  void stage(std::uint32_t bytes) noexcept;
  void abandon() noexcept { has_reservation_ = false; }
  [[nodiscard]] std::uint32_t staged() const noexcept { return staged_; }
  /// Makes all staged requests visible, in order; returns how many. An open reservation stands behind them and stays invisible.
  std::uint32_t publish() noexcept;

  /// There is room for what the last reserve() was refused; true when none was.
  [[nodiscard]] bool has_room() noexcept { return wanted_ == 0 || fits(wanted_ - 1); }
  /// Published and not yet taken by the service.
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
  std::uint32_t published_ = 0;         // the shared write position
  std::uint32_t position_ = 0;          // where the next chunk goes: ahead of published_ by what is staged
  std::uint32_t last_read_ = 0;         // the read position when it was last looked at
  std::uint32_t outstanding_most_ = 0;  // the semaphore's value can only be this or less
  std::uint32_t reserved_ = 0;
  std::uint32_t wanted_ = 0;  // 1 + the payload that was refused last; 0: none
  std::uint32_t staged_ = 0;
  bool has_reservation_ = false;
  base::refusal refused_;
  std::string_view name_;
  std::array<std::uint32_t, staged_max> starts_;
};

}  // namespace cpgring::ipc
