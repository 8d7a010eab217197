// Random and changed bytes: whatever the two files and the payloads hold, the description ends and refers to
// nothing outside of them. Sanitizers check the second half.
#include <algorithm>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "inspect/content.hpp"
#include "inspect/ring.hpp"
#include "ipc/chunk_format.hpp"
#include "unit/inspect/copies.hpp"

namespace cpgring::inspect::test {
namespace {

namespace cf = ipc::chunk_format;
constexpr std::uint32_t hostile_words = 256;
constexpr ring_kind kinds[] = {ring_kind::unknown, ring_kind::request, ring_kind::response, ring_kind::event};

using generator = std::mt19937;

std::uint32_t below(generator& random, std::uint32_t limit) {
  return std::uniform_int_distribution<std::uint32_t>(0, limit - 1)(random);
}

bytes random_bytes(generator& random, std::size_t size) {
  bytes all(size);
  std::generate(all.begin(), all.end(), [&] { return static_cast<std::byte>(random()); });
  return all;
}

/// Describes everything, with blocks of exactly the sizes of the files.
std::size_t describe_all(const bytes& header, const bytes& data) {
  const auto r = describe_ring(header, data);
  if (!r) {
    return 0;
  }
  std::size_t seen = 0;
  for (const auto& c : r->chunks) {
    auto payload = payload_of(*r, c, data);
    EXPECT_LE(payload.size(), data.size());
    for (const auto kind : kinds) {
      const auto found = describe_content(kind, payload);
      EXPECT_TRUE(kind == ring_kind::unknown || !found.what.empty() || !found.wrong.empty());
      seen += found.members.size() + found.ring_nodes.size() + found.group.value_or("").size();
      for (const std::byte b : found.data.value_or(std::span<const std::byte>())) {
        seen += static_cast<std::size_t>(b);
      }
      for (const char c_of_group : found.group.value_or("")) {
        seen += static_cast<unsigned char>(c_of_group);
      }
    }
  }
  return seen;
}

/// A valid ring whose chunks begin as messages of CPG do, with random fields behind.
struct valid_ring {
  explicit valid_ring(generator& random)
      : header(random_bytes(random, cf::header_bytes)), data(hostile_words * 4) {
    const std::uint32_t read = below(random, hostile_words);
    std::uint32_t at = read, left = hostile_words - 1, chunks = 0;
    while (left > cf::header_words) {
      const std::uint32_t length = below(random, 260), step = cf::words_of(length);
      if (step > left) {
        break;
      }
      word(at) = length;
      word(at + 1) = cf::magic_ready;
      for (std::uint32_t i = 2; i < step; ++i) {
        word(at + i) = below(random, 2) == 0 ? below(random, 30) : static_cast<std::uint32_t>(random());
      }
      if (step > 2) {
        word(at + 2) = below(random, 20);  // an id
      }
      at += step;
      left -= step;
      ++chunks;
    }
    put_u32(header, cf::read_position, read);
    put_u32(header, cf::write_position, at % hostile_words);
    put_u32(header, cf::data_words, hostile_words);
    put_u32(header, cf::semaphore, below(random, chunks + 1));
  }
  std::uint32_t& word(std::uint32_t position) {
    return reinterpret_cast<std::uint32_t*>(data.data())[position % hostile_words];
  }
  bytes header, data;
};

TEST(hostile_ring_files, of_random_bytes_are_described) {
  generator random(1);
  for (int i = 0; i < 2000; ++i) {
    describe_all(random_bytes(random, below(random, 2) * cf::header_bytes + below(random, 40)),
                 random_bytes(random, below(random, 3000)));
  }
}

TEST(hostile_ring_files, with_changed_bytes_are_described) {
  generator random(2);
  std::size_t good = 0;
  for (int i = 0; i < 3000; ++i) {
    valid_ring ring(random);
    good += describe_ring(ring.header, ring.data)->findings.empty() ? 1U : 0U;
    for (std::uint32_t change = below(random, 4); change != 0; --change) {
      constexpr std::size_t fields[] = {cf::write_position, cf::read_position, cf::data_words, cf::semaphore};
      const auto value =
          below(random, 2) == 0 ? below(random, 2 * hostile_words) : static_cast<std::uint32_t>(random());
      if (below(random, 2) == 0) {
        put_u32(ring.header, fields[below(random, 4)], value);
      } else {
        ring.word(below(random, hostile_words)) = value;
      }
    }
    if (below(random, 8) == 0) {
      ring.data.resize(below(random, hostile_words * 4));
      ring.data.shrink_to_fit();
    }
    describe_all(ring.header, ring.data);
  }
  EXPECT_EQ(good, 3000U);
}

TEST(hostile_ring_files, which_shrink_after_their_description_have_no_payload) {
  generator random(3);
  const valid_ring ring(random);
  const auto r = describe_ring(ring.header, ring.data);
  ASSERT_TRUE(r);
  for (const auto& c : r->chunks) {
    EXPECT_TRUE(payload_of(*r, c, std::span(ring.data).first(ring.data.size() - 1)).empty());
  }
}

}  // namespace
}  // namespace cpgring::inspect::test
