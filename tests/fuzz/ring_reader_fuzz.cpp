// Any bytes in a mapped ring, changed at any moment: the reader stays within the ring, and once broken it
// stays broken.
//
// Input: the start position (2 bytes), then steps of 6 bytes: the action, a small number, a word.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "ipc/ring_reader.hpp"
#include "unit/ipc/raw_ring.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

void demand(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

const shared_ring& ring() {
  static const shared_ring mapped = [] {
    const raw_ring files(4096);  // unlinked as soon as it is mapped
    return std::move(*open_ring(files.base(), files.max_message_size(), true));
  }();
  return mapped;
}

/// Adds a valid chunk at the write position, which later steps may damage.
void put_chunk(std::uint32_t length) {
  const std::uint32_t at = *ring().write_position();
  if (at < ring().words()) {
    *ring().word(at) = length;
    *ring().word(at + 1) = cf::magic_ready;
    *ring().write_position() = (at + cf::words_of(length)) % ring().words();
    ++*ring().semaphore();
  }
}

void read_some(ring_reader& reader, std::uint32_t count) {
  const std::byte* const begin = ring().at(0);
  const std::byte* const end = ring().at(2 * ring().words() - 1) + 4;
  frame f;
  read_result seen = read_result::empty;
  reader.collect();
  for (; count != 0 && (seen = reader.next(f)) == read_result::frame; --count) {
    demand(!reader.broken());
    demand(f.data >= begin + 8 && f.data + f.size <= end);
    std::memset(f.data, 0x5A, f.size);
    demand(reader.leased_bytes() < reader.capacity_bytes());
  }
  demand((seen == read_result::broken) == (count != 0 && reader.broken()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto word_at = [&](std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, data + at, sizeof value);
    return value;
  };
  if (size < 2) {
    return 0;
  }
  const std::uint32_t words = ring().words(), start = data[0] + 256U * data[1];
  std::memset(ring().at(0), 0, ring().bytes());
  *ring().read_position() = *ring().write_position() = start;
  *ring().semaphore() = 0;
  ring_reader reader(ring());
  demand(reader.broken() == (start >= words));
  std::uint32_t cursor = 0;
  for (std::size_t at = 2; at + 6 <= size; at += 6) {
    const std::uint32_t value = word_at(at + 2);
    const bool was_broken = reader.broken();
    switch (data[at] % 8) {
      case 0: cursor = value % words; break;
      case 1: *ring().word(cursor++ % words) = value; break;
      case 2: *ring().write_position() = value; break;
      case 3: *ring().semaphore() = value; break;
      case 4: read_some(reader, data[at + 1]); break;
      case 5: reader.reclaim(data[at + 1] % (reader.leased() + 1)); break;
      case 6: put_chunk(value % 64); break;
      case 7:
        *ring().word((*ring().read_position() + cursor++) % words) = value;
        break;  // inside leased chunks
    }
    demand(!was_broken || reader.broken());
    demand(reader.broken() || *ring().read_position() < words);
    demand(reader.used_bytes() <= reader.capacity_bytes());
  }
  demand(!reader.broken() ||
         (reader.ready() == 1 && reader.fault() == errc::malformed && !reader.fault().text.empty()));
  return 0;
}
