// The layout of a libqb ring: one header file, and one data file that is mapped twice back to back. No other
// file knows it.
//
// - In a chunk at word w, word w is the payload's length in bytes and word w + 1 its magic. The payload
//   begins at w + 2 and is padded to whole words; the next chunk begins at w + 2 + ceil(length / 4).
// - Positions count 4-byte words modulo W, the number of words of the data file. Because of the double
//   mapping a chunk is contiguous wherever it starts.
//
// docs/chunk_format.md describes the protocol of reader and writer.
#pragma once

#include <semaphore.h>

#include <bit>
#include <cstddef>
#include <cstdint>

namespace cpgring::ipc::chunk_format {

// Byte offsets in the header file. Between data_words and reference_count are two path names of 4096 bytes,
// which are not trusted and not read.
inline constexpr std::size_t write_position = 0, read_position = 4, data_words = 8;
inline constexpr std::size_t reference_count = 8204, semaphore = 8208, user_word = 8240;
inline constexpr std::size_t header_bytes = 8248;
static_assert(reference_count == data_words + 4 + std::size_t{2} * 4096);
static_assert(semaphore % 8 == 0 && semaphore + sizeof(sem_t) == user_word && user_word + 4 <= header_bytes);
static_assert(sizeof(sem_t) == 32 && std::endian::native == std::endian::little,
              "glibc's 64-bit semaphore: value in the low half, waiters in the high");

inline constexpr std::uint32_t magic_being_written = 0xA110CED0, magic_ready = 0xA1A1A1A1,
                               magic_consumed = 0xD0D0D0D0;

inline constexpr std::uint32_t header_words = 2;  // length and magic
/// A writer needs this many free bytes beside the payload.
inline constexpr std::uint32_t spare_bytes = 12;
/// The size of the data file is the largest message plus this, rounded up to whole pages.
inline constexpr std::uint32_t data_slack = 13;
/// Positions up to 2 * W, and W * 4, must fit into 32 bits.
inline constexpr std::uint32_t data_words_max = std::uint32_t{1} << 28;

/// Words of a whole chunk. Cannot overflow.
inline constexpr std::uint32_t words_of(std::uint32_t payload) noexcept {
  return header_words + payload / 4 + (payload % 4 != 0 ? 1U : 0U);
}
static_assert(words_of(0) == 2 && words_of(1) == 3 && words_of(4) == 3 && words_of(168) == 44 &&
              words_of(UINT32_MAX) == 0x40000002);

/// Words from one position forward to another; both are below `words`.
inline constexpr std::uint32_t distance(std::uint32_t from, std::uint32_t to, std::uint32_t words) noexcept {
  return to >= from ? to - from : to + (words - from);
}

inline constexpr std::uint32_t value_of(std::uint64_t semaphore_word) noexcept {
  return static_cast<std::uint32_t>(semaphore_word);
}
inline constexpr std::uint32_t waiters_of(std::uint64_t semaphore_word) noexcept {
  return static_cast<std::uint32_t>(semaphore_word >> 32);
}

}  // namespace cpgring::ipc::chunk_format
