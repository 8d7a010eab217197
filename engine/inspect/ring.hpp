// Describes a libqb ring from copies of its two files: sizes, positions, and the chunks that lie in it.
//
// Pure functions, any thread. The copies are foreign bytes, and may have been made while both sides were at
// work: each field is checked before it is used, and each contradiction becomes a finding. Only a header file
// that is too short is an error. Layout of the files: ipc/chunk_format.hpp; protocol: docs/chunk_format.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <cpgring/options.hpp>
#include <cpgring/result.hpp>

#include "ipc/chunk_format.hpp"

namespace cpgring::inspect {

/// The part of a header file that describe_ring() needs.
inline constexpr std::size_t header_bytes = ipc::chunk_format::header_bytes;
/// More than the largest data file that the library opens: ring_bytes_max and at most one page.
inline constexpr std::size_t data_bytes_max = std::size_t{ring_bytes_max} + 4096;

enum class chunk_state : std::uint8_t {
  ready,          ///< complete
  being_written,  ///< the write position has passed it, its magic is still that of the writer
  consumed,       ///< the reader gives it back at this moment, and its length is gone
  unknown,        ///< its magic is none of the three
  too_long,       ///< its length reaches beyond the write position
};
std::string_view to_string(chunk_state state) noexcept;

struct chunk {
  std::uint32_t position = 0;  ///< in words from the beginning of the data file
  std::uint32_t length = 0;    ///< of the payload, in bytes, as the chunk says
  std::uint32_t magic = 0;
  chunk_state state = chunk_state::unknown;
  bool taken = false;  ///< the reader has taken its count, and has not given the chunk back

  [[nodiscard]] bool has_payload() const noexcept {
    return state == chunk_state::ready || state == chunk_state::being_written;
  }
};

struct ring {
  std::uint32_t words = 0;  ///< of the data file, as the header says
  std::uint32_t write_position = 0;
  std::uint32_t read_position = 0;
  std::uint32_t counted = 0;   ///< by the semaphore: chunks that the reader has not taken
  std::uint32_t sleepers = 0;  ///< threads that sleep on the semaphore
  std::uint32_t references = 0;
  std::uint32_t user_word = 0;
  std::uint32_t used_words = 0;    ///< between the positions; 0 if they are invalid
  std::uint32_t payload_room = 0;  ///< bytes of the largest payload that a writer finds room for
  std::vector<chunk> chunks;       ///< oldest first, from the read position on
  std::vector<std::string> findings;
};

/// `header`: the header file, or its first header_bytes. Error: malformed, if it is shorter than that.
result<ring> describe_ring(std::span<const std::byte> header, std::span<const std::byte> data);

/// The payload of a chunk, also of one that goes over the end of the data file. Empty if the chunk has none,
/// or if `data` is not what describe_ring() has seen. 4-byte aligned, as the payload in the ring.
std::vector<std::byte> payload_of(const ring& of, const chunk& which, std::span<const std::byte> data);

}  // namespace cpgring::inspect
