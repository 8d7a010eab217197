// One wrong field at a random place of an otherwise valid ring: the chunks before it are read normally, then
// the error names the field.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "ipc/ring_reader.hpp"
#include "ipc/ring_writer.hpp"
#include "unit/ipc/raw_ring.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

constexpr std::uint32_t words = 1024;

/// A valid ring with random chunks at a random start.
struct honest_ring {
  honest_ring()
      : start(*rc::gen::inRange<std::uint32_t>(0, words)),
        lengths(*rc::gen::nonEmpty(
            rc::gen::container<std::vector<std::uint32_t>>(rc::gen::inRange<std::uint32_t>(0, 200)))) {
    lengths.resize(std::min<std::size_t>(lengths.size(), 19));  // 19 chunks fit whatever their lengths
    raw.set(cf::read_position, start);
    raw.fill(0xFF);  // no valid length or magic outside the chunks below
    for (const std::uint32_t length : lengths) {
      positions.push_back(end());
      used += cf::words_of(length);
      raw.put_chunk(positions.back(), length);
    }
    raw.set(cf::write_position, end());
    raw.set(cf::semaphore, count());
  }
  [[nodiscard]] std::uint32_t end() const { return (start + used) % words; }
  [[nodiscard]] std::uint32_t count() const { return static_cast<std::uint32_t>(lengths.size()); }
  [[nodiscard]] std::uint32_t words_from(std::size_t chunk) const {
    std::uint32_t sum = 0;
    for (std::size_t i = chunk; i < lengths.size(); ++i) {
      sum += cf::words_of(lengths[i]);
    }
    return sum;
  }

  raw_ring raw{words * 4};
  std::uint32_t start;
  std::uint32_t used = 0;
  std::vector<std::uint32_t> lengths, positions;
};

/// Expects `good` valid chunks, then an error that names `field`.
void expect_broken_after(const honest_ring& ring, std::size_t good, const std::string& field) {
  const auto shared = open_ring(ring.raw.base(), ring.raw.max_message_size(), false);
  RC_ASSERT(shared.has_value());
  ring_reader reader(*shared);
  reader.collect();
  frame f;
  for (std::size_t i = 0; i < good; ++i) {
    RC_ASSERT(reader.next(f) == read_result::frame);
    RC_ASSERT(f.size == ring.lengths[i]);
    RC_ASSERT(f.data == shared->at(ring.positions[i] + cf::header_words));
  }
  RC_ASSERT(reader.next(f) == read_result::broken);
  RC_ASSERT(reader.fault() == errc::malformed);
  RC_ASSERT(reader.fault().text.find("the service's event ring: the " + field + " is ") == 0);
  reader.collect();
  RC_ASSERT(reader.next(f) == read_result::broken);
}

RC_GTEST_PROP(one_wrong_field, a_magic, ()) {
  honest_ring ring;
  const auto which = *rc::gen::inRange<std::size_t>(0, ring.lengths.size());
  const auto magic = *rc::gen::suchThat(
      rc::gen::oneOf(rc::gen::arbitrary<std::uint32_t>(),
                     rc::gen::element(cf::magic_being_written, cf::magic_consumed, cf::magic_ready ^ 1U)),
      [](std::uint32_t m) { return m != cf::magic_ready; });
  ring.raw.set_word(ring.positions[which] + 1, magic);
  expect_broken_after(ring, which, "magic of a chunk");
}

RC_GTEST_PROP(one_wrong_field, a_length_beyond_the_write_position, ()) {
  honest_ring ring;
  const auto which = *rc::gen::inRange<std::size_t>(0, ring.lengths.size());
  const std::uint32_t most = (ring.words_from(which) - cf::header_words) * 4;
  const auto length =
      *rc::gen::oneOf(rc::gen::inRange<std::uint32_t>(most + 1, most + 10),
                      rc::gen::inRange<std::uint32_t>(most + 1, 0x80000000U),
                      rc::gen::inRange<std::uint32_t>(0x80000000U, UINT32_MAX), rc::gen::just(UINT32_MAX));
  ring.raw.set_word(ring.positions[which], length);
  expect_broken_after(ring, which, "length of a chunk");
}

RC_GTEST_PROP(one_wrong_field, a_count_above_the_capacity_of_the_ring, ()) {
  honest_ring ring;
  ring.raw.set(cf::semaphore, *rc::gen::oneOf(rc::gen::inRange<std::uint32_t>(words / 2 + 1, words * 2),
                                              rc::gen::inRange<std::uint32_t>(words, UINT32_MAX),
                                              rc::gen::just(UINT32_MAX)));
  expect_broken_after(ring, 0, "semaphore's count of new chunks");
}

RC_GTEST_PROP(one_wrong_field, a_count_above_the_written_words, ()) {
  honest_ring ring;
  ring.raw.set(cf::semaphore,
               *rc::gen::inRange<std::uint32_t>(ring.used / cf::header_words + 1, words / 2 + 1));
  expect_broken_after(ring, 0, "write position");
}

RC_GTEST_PROP(one_wrong_field, a_write_position_outside_of_the_ring, ()) {
  honest_ring ring;
  ring.raw.set(cf::write_position, *rc::gen::oneOf(rc::gen::element(+words, words + 1, UINT32_MAX),
                                                   rc::gen::inRange<std::uint32_t>(words, UINT32_MAX)));
  expect_broken_after(ring, 0, "write position");
}

RC_GTEST_PROP(one_wrong_field, a_write_position_before_the_end_of_the_counted_chunks, ()) {
  honest_ring ring;
  const auto span = *rc::gen::inRange<std::uint32_t>(0, ring.count() * cf::header_words);
  ring.raw.set(cf::write_position, (ring.start + span) % words);
  expect_broken_after(ring, 0, "write position");
}

RC_GTEST_PROP(one_wrong_field, a_read_position_outside_of_the_ring, ()) {
  honest_ring ring;
  ring.raw.set(cf::read_position, *rc::gen::inRange<std::uint32_t>(words, UINT32_MAX));
  expect_broken_after(ring, 0, "read position");
}

RC_GTEST_PROP(one_wrong_field, a_length_changed_while_leased_does_not_move_the_reader, ()) {
  honest_ring ring;
  const auto shared = open_ring(ring.raw.base(), ring.raw.max_message_size(), false);
  RC_ASSERT(shared.has_value());
  ring_reader reader(*shared);
  reader.collect();
  frame f;
  while (reader.next(f) == read_result::frame) {
  }
  RC_ASSERT(reader.leased() == ring.count());
  const auto which = *rc::gen::inRange<std::size_t>(0, ring.lengths.size());
  const auto length = *rc::gen::suchThat(
      rc::gen::oneOf(rc::gen::inRange<std::uint32_t>(0, 400), rc::gen::arbitrary<std::uint32_t>()),
      [&](std::uint32_t l) { return cf::words_of(l) != cf::words_of(ring.lengths[which]); });
  ring.raw.set_word(ring.positions[which], length);
  reader.reclaim(reader.leased());
  // The sum of the lengths is known, so one of them is found wrong.
  RC_ASSERT(reader.broken());
  RC_ASSERT(reader.fault().text.find("the length of a chunk, changed while it was leased, is ") !=
            std::string::npos);
  RC_ASSERT(ring.raw.get(cf::read_position) == ring.start);
}

RC_GTEST_PROP(hostile_request_rings, with_random_positions_and_counts_keep_the_writer_inside, ()) {
  raw_ring raw(words * 4);
  const auto shared = open_ring(raw.base(), raw.max_message_size(), false);
  RC_ASSERT(shared.has_value());
  ring_writer writer(*shared);
  const std::byte* const begin = shared->at(0);
  const std::byte* const end = begin + 2 * std::size_t{shared->bytes()};
  const auto steps = *rc::gen::container<std::vector<std::array<std::uint32_t, 2>>>(
      100, rc::gen::apply(
               [](std::uint32_t a, std::uint32_t b) {
                 return std::array{a, b};
               },
               rc::gen::inRange<std::uint32_t>(0, 8),
               rc::gen::oneOf(rc::gen::inRange<std::uint32_t>(0, 1100),
                              rc::gen::inRange<std::uint32_t>(0, 4085))));
  std::uint32_t published_in_all = 0;
  for (const auto& [what, value] : steps) {
    if (what == 0) {
      *shared->read_position() = value;
    } else if (what == 1) {
      *shared->semaphore() = value;
    } else if (what == 2) {
      *shared->read_position() = *shared->write_position();  // valid again, so that writing can continue
      *shared->semaphore() = 0;
    } else if (what == 3) {
      published_in_all += writer.publish();
      RC_ASSERT(writer.staged() == 0U);
    } else if (std::byte* const at = writer.reserve(value); at != nullptr) {
      RC_ASSERT(at >= begin + 8);
      RC_ASSERT(at + value <= end);
      std::fill_n(at, value, std::byte{0xA1});
      writer.stage(value);
    }
    if (writer.outstanding() > published_in_all) {
      RC_ASSERT(writer.broken());
    }
    if (writer.broken()) {
      RC_ASSERT(writer.reserve(0) == nullptr);
      RC_ASSERT(writer.fault() == errc::malformed);
    }
  }
}

}  // namespace
