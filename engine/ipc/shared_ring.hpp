// One libqb ring in shared memory: opens, checks, maps and releases it.
//
// Move-only; the mapping stays where it is. The header's values are read once and checked against the real
// sizes of the files; only the checked values are used afterwards. The path names in the header are not read.
// A service that truncates the files causes SIGBUS, as for every user of shared memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include <cpgring/result.hpp>

#include "base/owned.hpp"
#include "ipc/chunk_format.hpp"
#include "ipc/ring_directory.hpp"

namespace cpgring::ipc {

class shared_ring {
 public:
  /// Opens and maps a ring, and counts this process in the ring's reference count until the destructor.
  /// Nothing is created, truncated or unlinked.
  /// - `name`: the name of the ring's files in `directory`, without "-header" and "-data".
  /// - `max_message_size`: the ring must hold a message of this size.
  /// - `prefault`: touch all pages now. The first lap then has no page faults, and a full /dev/shm is an
  ///   error here instead of a later SIGBUS.
  ///
  /// Errors: no_space (/dev/shm is full, found while touching the pages), no_mappings, no_memory, malformed
  /// (sizes), those of ring_directory::open_file.
  static result<shared_ring> open(ring_directory& directory, std::string_view name,
                                  std::uint32_t max_message_size, bool prefault);
  shared_ring(shared_ring&& other) noexcept
      : header_(std::move(other.header_)),
        data_(std::move(other.data_)),
        words_(std::exchange(other.words_, 0)),
        shm_bytes_(std::exchange(other.shm_bytes_, 0)) {}
  shared_ring& operator=(shared_ring&&) = delete;
  ~shared_ring();

  [[nodiscard]] std::uint32_t words() const noexcept { return words_; }
  [[nodiscard]] std::uint32_t bytes() const noexcept { return words_ * 4; }
  /// `position` is below 2 * words(), because of the double mapping.
  [[nodiscard]] std::byte* at(std::uint32_t position) const noexcept {
    return data_.data() + std::size_t{position} * 4;
  }
  [[nodiscard]] std::uint32_t* word(std::uint32_t position) const noexcept {
    return reinterpret_cast<std::uint32_t*>(at(position));
  }
  [[nodiscard]] std::uint32_t* write_position() const noexcept {
    return header_word(chunk_format::write_position);
  }
  [[nodiscard]] std::uint32_t* read_position() const noexcept {
    return header_word(chunk_format::read_position);
  }
  [[nodiscard]] std::uint32_t* reference_count() const noexcept {
    return header_word(chunk_format::reference_count);
  }
  [[nodiscard]] std::uint32_t* user_word() const noexcept { return header_word(chunk_format::user_word); }
  [[nodiscard]] std::uint64_t* semaphore() const noexcept {
    return reinterpret_cast<std::uint64_t*>(header_.data() + chunk_format::semaphore);
  }
  /// Bytes of /dev/shm that both files take.
  [[nodiscard]] std::size_t shm_bytes() const noexcept { return shm_bytes_; }

 private:
  shared_ring(base::unique_mapping header, base::unique_mapping data, std::uint32_t words,
              std::size_t shm_bytes) noexcept
      : header_(std::move(header)), data_(std::move(data)), words_(words), shm_bytes_(shm_bytes) {}
  [[nodiscard]] std::uint32_t* header_word(std::size_t at) const noexcept {
    return reinterpret_cast<std::uint32_t*>(header_.data() + at);
  }

  base::unique_mapping header_;
  base::unique_mapping data_;
  std::uint32_t words_ = 0;
  std::size_t shm_bytes_ = 0;
};

}  // namespace cpgring::ipc
