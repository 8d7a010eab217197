// The layout of a libqb ring: one header file, one data file mapped twice back to back, chunks in it. The only place that knows it.
//
// Word w of a chunk is its payload's length in bytes, word w + 1 its magic, from w + 2 on stands the payload, padded to whole words. The
// next chunk follows at w + 2 + ceil(length / 4). Positions are counted in 4-byte words modulo W, the words of the data file; because that
// file is mapped twice, a chunk is contiguous wherever it starts.
//
// docs/chunk_format.md tells how the two ends take turns.
#pragma once

#include <semaphore.h>

#include <bit>
#include <cstddef>
#include <cstdint>

namespace cpgring::ipc::chunk_format {

// The header file, in bytes. Between data_words and reference_count stand two path names of 4096 bytes, which are not trusted and not read.
inline constexpr std::size_t write_position = 0, read_position = 4, data_words = 8;
inline constexpr std::size_t reference_count = 8204, semaphore = 8208, user_word = 8240;
inline constexpr std::size_t header_bytes = 8248;
static_assert(reference_count == data_words + 4 + std::size_t{2} * 4096);
static_assert(semaphore % 8 == 0 && semaphore + sizeof(sem_t) == user_word && user_word + 4 <= header_bytes);
static_assert(sizeof(sem_t) == 32 && std::endian::native == std::endian::little,
              "glibc's 64-bit semaphore: value in the low half, waiters in the high");

inline constexpr std::uint32_t magic_being_written = 0xA110CED0, magic_ready = 0xA1A1A1A1, magic_consumed = 0xD0D0D0D0;

inline constexpr std::uint32_t words_ahead = 2;   // length and magic
inline constexpr std::uint32_t spare_bytes = 12;  // a writer has so many free bytes beside the payload, or writes nothing
/// The data file is the largest message and this, rounded up to whole pages.
inline constexpr std::uint32_t data_slack = 13;
/// Positions up to 2 * W have to fit 32 bits, and W * 4 too.
inline constexpr std::uint32_t data_words_max = std::uint32_t{1} << 28;

/// Words of a whole chunk; cannot overflow.
inline constexpr std::uint32_t words_of(std::uint32_t payload) noexcept { return words_ahead + payload / 4 + (payload % 4 != 0 ? 1U : 0U); }
static_assert(words_of(0) == 2 && words_of(1) == 3 && words_of(4) == 3 && words_of(168) == 44 && words_of(UINT32_MAX) == 0x40000002);

/// How far it is from one position forward to another, both below `words`.
inline constexpr std::uint32_t distance(std::uint32_t from, std::uint32_t to, std::uint32_t words) noexcept {
  return to >= from ? to - from : to + (words - from);
}

inline constexpr std::uint32_t value_of(std::uint64_t semaphore_word) noexcept { return static_cast<std::uint32_t>(semaphore_word); }
inline constexpr std::uint32_t waiters_of(std::uint64_t semaphore_word) noexcept {
  return static_cast<std::uint32_t>(semaphore_word >> 32);
}

}  // namespace cpgring::ipc::chunk_format
