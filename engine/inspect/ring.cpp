#include "inspect/ring.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "ipc/chunk_format.hpp"

namespace cpgring::inspect {
namespace {

namespace cf = ipc::chunk_format;

template <class Number>
Number number_at(std::span<const std::byte> bytes, std::size_t offset) noexcept {
  Number value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::uint32_t word_at(std::span<const std::byte> data, std::uint32_t position, std::uint32_t words) noexcept {
  return number_at<std::uint32_t>(data, std::size_t{position % words} * 4);
}

chunk_state state_of(std::uint32_t magic) noexcept {
  switch (magic) {
    case cf::magic_ready: return chunk_state::ready;
    case cf::magic_being_written: return chunk_state::being_written;
    case cf::magic_consumed: return chunk_state::consumed;
    default: return chunk_state::unknown;
  }
}

/// Checks the sizes and positions, on which everything else depends.
bool positions_hold(ring& r, std::size_t data_bytes) {
  if (r.words == 0 || r.words > cf::data_words_max) {
    r.findings.push_back(fmt::format("the header says that the data file has {} words, allowed are 1 to {}",
                                     r.words, cf::data_words_max));
    return false;
  }
  const std::size_t expected = std::size_t{r.words} * 4;
  if (data_bytes != expected) {
    r.findings.push_back(
        fmt::format("the header says that the data file has {} words ({} bytes); it has {} bytes", r.words,
                    expected, data_bytes));
  }
  for (const auto& [name, position] :
       {std::pair{"write", r.write_position}, std::pair{"read", r.read_position}}) {
    if (position >= r.words) {
      r.findings.push_back(
          fmt::format("the {} position is {}, allowed is 0 to {}", name, position, r.words - 1));
    }
  }
  return data_bytes >= expected && r.write_position < r.words && r.read_position < r.words;
}

/// Why the chunks behind this one can't be found.
std::string why_it_ends_at(const chunk& c, std::uint32_t room) {
  switch (c.state) {
    case chunk_state::consumed:
      return fmt::format(
          "the reader has marked the chunk at word {} as consumed and has not moved the read "
          "position; the chunks behind it can't be found",
          c.position);
    case chunk_state::too_long:
      return fmt::format(
          "the chunk at word {} says that its payload has {} bytes; only {} lie before the "
          "write position",
          c.position, c.length, room);
    default:
      return fmt::format("the chunk at word {} has the magic {:#010x}; a chunk that waits has {:#010x}",
                         c.position, c.magic, cf::magic_ready);
  }
}

/// Lists the chunks from the read position to the write position. True: all were found.
bool walk(ring& r, std::span<const std::byte> data) {
  std::uint32_t left = r.used_words;
  for (std::uint32_t at = r.read_position; left != 0;) {
    if (left < cf::header_words) {
      r.findings.push_back(
          fmt::format("1 word lies between word {} and the write position; no chunk is that short", at));
      return false;
    }
    chunk c;
    c.position = at;
    c.length = word_at(data, at, r.words);
    c.magic = word_at(data, at + 1, r.words);
    c.state = state_of(c.magic);
    const std::uint32_t step = cf::words_of(c.length);
    if (c.has_payload() && step > left) {
      c.state = chunk_state::too_long;
    }
    r.chunks.push_back(c);
    if (!c.has_payload()) {
      r.findings.push_back(why_it_ends_at(c, (left - cf::header_words) * 4));
      return false;
    }
    at = (at + step) % r.words;
    left -= step;
  }
  return true;
}

/// The reader takes counts before it reads, so the oldest chunks are those that it has taken.
void mark_taken(ring& r) {
  if (r.counted > r.chunks.size()) {
    r.findings.push_back(fmt::format("the semaphore counts {} chunks, between the positions lie {}",
                                     r.counted, r.chunks.size()));
    return;
  }
  const std::size_t taken = r.chunks.size() - r.counted;
  for (std::size_t i = 0; i < taken; ++i) {
    r.chunks[i].taken = true;
  }
}

/// As libqb counts: an empty ring that has a count left is full, and else one word stays free.
std::uint32_t payload_room_of(const ring& r) noexcept {
  const std::uint32_t free_words = r.used_words != 0 ? r.words - r.used_words - 1
                                   : r.counted == 0  ? r.words
                                                     : 0;
  return std::max(free_words * 4, cf::spare_bytes) - cf::spare_bytes;
}

}  // namespace

std::string_view to_string(chunk_state state) noexcept {
  switch (state) {
    case chunk_state::ready: return "ready";
    case chunk_state::being_written: return "being written";
    case chunk_state::consumed: return "consumed";
    case chunk_state::unknown: return "unknown";
    case chunk_state::too_long: return "too long";
  }
  return "unknown";
}

result<ring> describe_ring(std::span<const std::byte> header, std::span<const std::byte> data) {
  if (header.size() < cf::header_bytes) {
    return fail(errc::malformed, fmt::format("the header file has {} bytes, that of a ring has at least {}",
                                             header.size(), cf::header_bytes));
  }
  ring r;
  r.write_position = number_at<std::uint32_t>(header, cf::write_position);
  r.read_position = number_at<std::uint32_t>(header, cf::read_position);
  r.words = number_at<std::uint32_t>(header, cf::data_words);
  const auto semaphore = number_at<std::uint64_t>(header, cf::semaphore);
  r.counted = cf::value_of(semaphore);
  r.sleepers = cf::waiters_of(semaphore);
  r.references = number_at<std::uint32_t>(header, cf::reference_count);
  r.user_word = number_at<std::uint32_t>(header, cf::user_word);
  if (!positions_hold(r, data.size())) {
    return r;
  }
  r.used_words = cf::distance(r.read_position, r.write_position, r.words);
  r.payload_room = payload_room_of(r);
  if (walk(r, data)) {
    mark_taken(r);
  }
  return r;
}

std::vector<std::byte> payload_of(const ring& of, const chunk& which, std::span<const std::byte> data) {
  const std::size_t ring_bytes = std::size_t{of.words} * 4;
  if (!which.has_payload() || which.length > ring_bytes || data.size() < ring_bytes || ring_bytes == 0) {
    return {};
  }
  std::vector<std::byte> payload(which.length);
  if (payload.empty()) {
    return payload;
  }
  const std::size_t begin = (std::size_t{which.position} + cf::header_words) % of.words * 4;
  const std::size_t first = std::min<std::size_t>(which.length, ring_bytes - begin);
  std::memcpy(payload.data(), data.data() + begin, first);
  if (first < payload.size()) {
    std::memcpy(payload.data() + first, data.data(), payload.size() - first);
  }
  return payload;
}

}  // namespace cpgring::inspect
