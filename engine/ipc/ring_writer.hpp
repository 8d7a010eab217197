// Station C4 of 7: from cpg/session, to ipc/doorbell.
//
// Writes requests into a ring that the service reads: reserve room in place, stage what was filled, publish all that is staged at once. One thread.
// Invariants: I1 nothing staged is visible to the service before publish(). I2 publish() is followed by that many doorbell bytes with nothing in between
// (connection::flush): a chunk without its byte freezes a stock daemon. I3 the read position is foreign: checked each time it is read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <cpgring/error.hpp>

#include "ipc/chunk_format.hpp"
#include "ipc/shared_ring.hpp"

namespace cpgring::ipc {

class ring_writer {
 public:
  /// Chunks staged at a time.
  static constexpr std::uint32_t staged_max = 64;

  explicit ring_writer(const shared_ring& ring) noexcept;

  /// Room for `bytes` of payload, 4-byte aligned, contiguous; null: none now (or broken). Then stage() or abandon().
  [[nodiscard]] std::byte* reserve(std::uint32_t bytes) noexcept;
  /// The first `bytes` of what was reserved are a request.
  void stage(std::uint32_t bytes) noexcept;
  void abandon() noexcept { reserved_ = 0; has_reservation_ = false; }
  [[nodiscard]] std::uint32_t staged() const noexcept { return staged_; }
  /// Makes all staged requests visible, in order; returns how many.
  std::uint32_t publish() noexcept;
  /// Published and not yet taken by the service.
  [[nodiscard]] std::uint32_t outstanding() const noexcept {
    // SYNC request_semaphore: a hint how far the service is; nothing is read by it.
    return chunk_format::value_of(__atomic_load_n(ring_.semaphore(), __ATOMIC_ACQUIRE));
  }
  [[nodiscard]] bool broken() const noexcept { return broken_; }
  [[nodiscard]] error fault() const;

 private:
  [[nodiscard]] std::uint32_t free_bytes() noexcept;

  const shared_ring& ring_;
  std::uint32_t position_ = 0;  // where the next chunk goes; ahead of the shared write position by what is staged
  std::uint32_t reserved_ = 0;
  std::uint32_t staged_ = 0;
  bool has_reservation_ = false;
  bool broken_ = false;
  std::uint32_t fault_value_ = 0;
  std::array<std::uint32_t, staged_max> starts_;
};

}  // namespace cpgring::ipc
