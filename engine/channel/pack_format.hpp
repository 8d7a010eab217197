// The bytes of a pack: many records in one multicast of a carrier. docs/pack_format.md describes them.
//
// Little-endian, in steps of 4 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cpgring::channel::pack {

inline constexpr std::uint32_t magic = 0x314B5043;  // "CPK1"; the last byte is the version of the framing
inline constexpr std::size_t header_bytes = 16;
inline constexpr std::size_t record_header_bytes = 4;
/// The largest payload of one record.
inline constexpr std::size_t record_max = 60 * 1024;
inline constexpr std::size_t name_max = 128;  // as of a CPG group

// Offsets in the pack's header.
inline constexpr std::size_t stay_at = 4, number_at = 8, header_length_at = 12, flags_at = 14;
/// A flag: control records are inside, so processes outside the component read the pack as well.
inline constexpr std::uint16_t has_control = 1;

// Kinds of records: below `optional`, a message in the channel with this alias.
inline constexpr std::uint16_t optional = 0xFF00;  // skipped by those that do not know them
inline constexpr std::uint16_t required = 0xFF80;  // those that do not know them must leave
inline constexpr std::uint16_t hello = 0xFF80, state = 0xFF81, join = 0xFF82, leave = 0xFF83, chunk = 0xFF84;

inline constexpr std::size_t padded(std::size_t bytes) noexcept { return (bytes + 3) / 4 * 4; }

// Fixed parts of control records.
inline constexpr std::size_t hello_bytes = 24;      // node, pid, stay (8), number, 0
inline constexpr std::size_t state_bytes = 32;      // as HELLO; then u16 part, u16 of, u32 bytes of all parts
inline constexpr std::size_t join_entry_bytes = 4;  // u16 alias, u8 length of the name, 0; the name, padded
inline constexpr std::size_t leave_entry_bytes = 4;  // u16 alias, u16 reason
inline constexpr std::size_t chunk_bytes = 24;  // u16 alias, u16 part, u32 transfer, u64 total, u64 offset

// JOIN and LEAVE begin with the u64 number of their first operation. The body of a STATE: u32 names, u32
// processes; each name as in a JOIN entry with alias 0; each process: node, pid, stay (8), operations (8),
// u32 runs, and its runs.
inline constexpr std::size_t run_bytes = 12;  // u16 first alias, u16 0, u32 first name, u32 length

/// What a control record holds at most; more goes into another record.
inline constexpr std::size_t part_max = 32 * 1024;
/// All parts of a STATE together, and what it lists.
inline constexpr std::size_t state_max = 16 * 1024 * 1024;
inline constexpr std::uint32_t processes_max = 1024;

}  // namespace cpgring::channel::pack
