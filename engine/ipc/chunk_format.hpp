// The layout of a libqb ring: one header file, one data file mapped twice back to back, chunks in it. The only place that knows it.
//
//   word w        payload length in bytes        Positions are counted in 4-byte words, modulo W, the words of the data file. Because the data is
//   word w + 1    magic                          mapped twice, a chunk is contiguous wherever it starts. The next one stands at w + 2 + ceil(length / 4).
//   word w + 2    payload, padded to 4 bytes
#pragma once

#include <cstddef>
#include <cstdint>

namespace cpgring::ipc::chunk_format {

inline constexpr std::size_t write_position = 0, read_position = 4, data_words = 8;
inline constexpr std::size_t reference_count = 8204, semaphore = 8208, user_word = 8240;
inline constexpr std::size_t header_bytes = 8248, header_bytes_with_user_word = 8252;
static_assert(semaphore % 8 == 0, "the semaphore is one 64-bit word: value below, waiters above");

inline constexpr std::uint32_t magic_being_written = 0xA110CED0, magic_ready = 0xA1A1A1A1, magic_consumed = 0xD0D0D0D0;

inline constexpr std::uint32_t words_ahead = 2;  // length and magic
inline constexpr std::uint32_t spare_bytes = 12;  // a writer keeps them free beside the payload
/// The data file is the largest message and this, rounded up to whole pages.
inline constexpr std::uint32_t data_slack = 13;

inline constexpr std::uint32_t words_of(std::uint32_t payload) noexcept {
  return words_ahead + payload / 4 + (payload % 4 != 0 ? 1U : 0U);
}
static_assert(words_of(0) == 2 && words_of(1) == 3 && words_of(4) == 3 && words_of(168) == 44);

inline constexpr std::uint64_t waiter = std::uint64_t{1} << 32;
inline constexpr std::uint32_t value_of(std::uint64_t semaphore_word) noexcept { return static_cast<std::uint32_t>(semaphore_word); }
inline constexpr std::uint32_t waiters_of(std::uint64_t semaphore_word) noexcept { return static_cast<std::uint32_t>(semaphore_word >> 32); }

}  // namespace cpgring::ipc::chunk_format
