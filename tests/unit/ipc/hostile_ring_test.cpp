// Services that write invalid values into the rings: each fault ends in `broken`, names its field, and causes
// no access outside the ring.
#include <array>
#include <limits>
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

shared_ring open(const raw_ring& raw) {
  auto ring = open_ring(raw.base(), raw.max_message_size(), true);
  EXPECT_TRUE(ring) << ring.error().message();
  return std::move(*ring);
}

struct hostile_ring : ::testing::Test {
  raw_ring raw{4096};
  shared_ring shared = open(raw);
  ring_reader reader{shared};

  /// Expects a permanently broken reader whose fault names this field.
  void expect_broken(const std::string& field) {
    frame f;
    reader.collect();
    ASSERT_EQ(reader.next(f), read_result::broken);
    EXPECT_TRUE(reader.broken());
    const error why = reader.fault();
    EXPECT_EQ(why, errc::malformed);
    EXPECT_NE(why.text.find(field), std::string::npos) << why.text;
    EXPECT_NE(why.text.find("event ring"), std::string::npos) << why.text;
    // A later repair of the ring does not revive the reader.
    raw.set(cf::write_position, 12);
    raw.set(cf::semaphore, 1);
    raw.put_chunk(0, 4);
    reader.collect();
    EXPECT_NE(reader.ready(), 0U);
    EXPECT_EQ(reader.next(f), read_result::broken);
    EXPECT_EQ(reader.fault().text, why.text);
    const std::uint32_t read = raw.get(cf::read_position);
    reader.reclaim(reader.leased());
    EXPECT_EQ(raw.get(cf::read_position), read);
  }
  void one_chunk(std::uint32_t length, std::uint32_t magic = cf::magic_ready) {
    raw.set(cf::write_position, raw.put_chunk(0, length, magic));
    raw.post(1);
  }
};

TEST_F(hostile_ring, with_a_wrong_magic) {
  for (std::uint32_t magic : {0U, cf::magic_being_written, cf::magic_consumed, 0xA1A1A1A0U, 0xFFFFFFFFU}) {
    raw_ring other(4096);
    shared_ring ours = open(other);
    ring_reader r(ours);
    other.set(cf::write_position, other.put_chunk(0, 8, magic));
    other.post(1);
    frame f;
    EXPECT_EQ(r.collect(), 1U);
    ASSERT_EQ(r.next(f), read_result::broken) << magic;
    EXPECT_NE(r.fault().text.find("magic of a chunk"), std::string::npos) << r.fault().text;
  }
  one_chunk(8, cf::magic_consumed);
  expect_broken("magic of a chunk is 0xd0d0d0d0, allowed is 0xa1a1a1a1");
}

TEST_F(hostile_ring, with_a_length_beyond_the_write_position) {
  one_chunk(8);
  raw.set_word(0, 9);
  expect_broken("length of a chunk is 9, allowed is 0 to 8");
}

TEST_F(hostile_ring, with_a_huge_length) {
  one_chunk(8);
  raw.set_word(0, 0xFFFFFFFF);
  expect_broken("length of a chunk is 0xffffffff");
}

TEST_F(hostile_ring, with_a_length_as_long_as_the_ring) {
  one_chunk(8);
  raw.set(cf::write_position, 1023);
  raw.set_word(0, 4092);
  expect_broken("length of a chunk is 4092, allowed is 0 to 4084");
}

TEST_F(hostile_ring, with_a_zero_length_yields_an_empty_frame_as_in_libqb) {
  one_chunk(0);
  frame f;
  EXPECT_EQ(reader.collect(), 1U);
  ASSERT_EQ(reader.next(f), read_result::frame);
  EXPECT_EQ(f.size, 0U);
  reader.reclaim(1);
  EXPECT_EQ(raw.get(cf::read_position), 2U);
}

TEST_F(hostile_ring, with_a_count_above_the_capacity_of_the_ring) {
  raw.put_chunk(0, 0);
  raw.set(cf::write_position, 2);
  raw.set(cf::semaphore, 513);
  expect_broken("semaphore's count of new chunks is 513, allowed is 0 to 512");
}

TEST_F(hostile_ring, with_a_count_above_the_room_left_by_leased_chunks) {
  std::uint32_t at = 0;
  for (int i = 0; i < 10; ++i) {
    at = raw.put_chunk(at, 8);
  }
  raw.set(cf::write_position, at);
  raw.post(10);
  frame f;
  reader.collect();
  while (reader.next(f) == read_result::frame) {
  }
  raw.post(503);
  expect_broken("semaphore's count of new chunks is 503, allowed is 0 to 502");
}

TEST_F(hostile_ring, with_the_count_uint32_max) {
  raw.set(cf::semaphore, 0xFFFFFFFF);
  expect_broken("semaphore's count of new chunks");
}

TEST_F(hostile_ring, with_a_count_but_no_chunks) {
  raw.post(1);
  expect_broken("write position is 0, allowed is 2 to 1023");
}

TEST_F(hostile_ring, with_a_count_above_the_number_of_chunks) {
  raw.put_chunk(raw.put_chunk(0, 0), 0);
  raw.set(cf::write_position, 4);
  raw.post(3);
  expect_broken("write position is 4, allowed is 6 to 1023");
}

TEST_F(hostile_ring, with_a_write_position_outside_the_ring) {
  raw.put_chunk(0, 4);
  raw.set(cf::write_position, 1024);
  raw.post(1);
  expect_broken("write position is 1024");
}

TEST_F(hostile_ring, with_a_write_position_inside_leased_chunks) {
  std::uint32_t at = 0;
  for (int i = 0; i < 10; ++i) {
    at = raw.put_chunk(at, 8);
  }
  raw.set(cf::write_position, at);
  raw.post(10);
  frame f;
  reader.collect();
  while (reader.next(f) == read_result::frame) {
  }
  ASSERT_EQ(reader.leased(), 10U);
  raw.set(cf::write_position, 4);
  raw.post(1);
  expect_broken("write position is 4, allowed is 42 to 1023");
}

TEST_F(hostile_ring, with_a_wrong_write_position_after_wrap_around) {
  raw.set(cf::read_position, 1000);
  raw.set(cf::write_position, 1000);
  reader = ring_reader(shared);
  raw.put_chunk(1000, 80);
  raw.set(cf::write_position, 999);
  raw.post(10);
  raw.set(cf::write_position, 1001);
  frame f;
  reader.collect();
  EXPECT_EQ(reader.next(f), read_result::broken);
  EXPECT_NE(reader.fault().text.find("write position is 1001, allowed is 1020 or more, or at most 999"),
            std::string::npos)
      << reader.fault().text;
}

TEST_F(hostile_ring, with_a_write_position_that_leaves_no_word_free) {
  one_chunk(8);
  frame f;
  reader.collect();
  ASSERT_EQ(reader.next(f), read_result::frame);
  // A full lap to the oldest leased chunk: a valid writer always leaves one word free.
  raw.set(cf::write_position, 0);
  raw.post(1);
  expect_broken("write position is 0, allowed is 6 to 1023");
}

TEST_F(hostile_ring, with_a_length_changed_while_leased) {
  one_chunk(8);
  frame f;
  reader.collect();
  ASSERT_EQ(reader.next(f), read_result::frame);
  raw.set_word(0, 4);
  reader.reclaim(1);
  EXPECT_TRUE(reader.broken());
  expect_broken("length of a chunk, changed while it was leased, is 4, allowed is 0 to 8");
}

TEST_F(hostile_ring, with_a_length_raised_to_the_maximum_while_leased) {
  std::uint32_t at = raw.put_chunk(raw.put_chunk(0, 8), 8);
  raw.set(cf::write_position, at);
  raw.post(2);
  frame f;
  reader.collect();
  reader.next(f);
  reader.next(f);
  raw.set_word(0, 0xFFFFFFFF);
  reader.reclaim(1);
  EXPECT_TRUE(reader.broken());
  EXPECT_EQ(raw.get(cf::read_position), 0U);
}

TEST_F(hostile_ring, with_a_read_position_initially_outside_the_ring) {
  raw.set(cf::read_position, 1024);
  reader = ring_reader(shared);
  expect_broken("read position is 1024, allowed is 0 to 1023");
}

RC_GTEST_PROP(hostile_rings, with_random_words_keep_the_reader_inside, ()) {
  raw_ring raw(4096);
  shared_ring shared = open(raw);
  ring_reader reader(shared);
  const std::byte* const begin = shared.at(0);
  const std::byte* const end = begin + 2 * shared.bytes();
  // Plausible words: lengths, magics, positions.
  const auto word = rc::gen::oneOf(
      rc::gen::just(cf::magic_ready), rc::gen::just(cf::magic_ready), rc::gen::inRange<std::uint32_t>(0, 40),
      rc::gen::inRange<std::uint32_t>(0, 5000), rc::gen::arbitrary<std::uint32_t>());
  const auto words = *rc::gen::container<std::vector<std::uint32_t>>(64, word);
  for (std::uint32_t i = 0; i < 1024; ++i) {
    *shared.word(i) = words[i % words.size()];
  }
  const auto steps = *rc::gen::container<std::vector<std::array<std::uint32_t, 3>>>(
      60, rc::gen::apply(
              [](std::uint32_t a, std::uint32_t b, std::uint32_t c) {
                return std::array{a, b, c};
              },
              rc::gen::inRange<std::uint32_t>(0, 4), word, rc::gen::inRange<std::uint32_t>(0, 1100)));
  for (const auto& [what, value, position] : steps) {
    switch (what) {
      case 0: *shared.write_position() = position; break;
      case 1: __atomic_fetch_add(shared.semaphore(), std::uint64_t{value % 8}, __ATOMIC_SEQ_CST); break;
      case 2: *shared.word(position % 1024) = value; break;
      default: {
        frame f;
        reader.collect();
        for (std::uint32_t i = 0; i < position % 8 && reader.next(f) == read_result::frame; ++i) {
          RC_ASSERT(f.data >= begin);
          RC_ASSERT(f.data + f.size <= end);
          std::memset(f.data, 0x5A, f.size);
        }
        reader.reclaim(value % (reader.leased() + 1));
        break;
      }
    }
  }
}

// --- the request ring

struct hostile_request_ring : ::testing::Test {
  raw_ring raw{4096};
  shared_ring shared = open(raw);
  ring_writer writer{shared};

  void publish_one(std::uint32_t size = 100) {
    ASSERT_NE(writer.reserve(size), nullptr);
    writer.stage(size);
    ASSERT_EQ(writer.publish(), 1U);
  }
  void expect_broken(const std::string& field) {
    EXPECT_EQ(writer.reserve(4), nullptr);
    ASSERT_TRUE(writer.broken());
    EXPECT_EQ(writer.fault(), errc::malformed);
    EXPECT_NE(writer.fault().text.find("request ring: " + field), std::string::npos) << writer.fault().text;
  }
};

TEST_F(hostile_request_ring, with_a_read_position_outside_the_ring) {
  raw.set(cf::read_position, 4000);
  expect_broken("the read position is 4000");
}

TEST_F(hostile_request_ring, with_a_read_position_ahead_of_the_written_words) {
  publish_one();
  raw.set(cf::read_position, 28);
  expect_broken("the read position is 28, allowed is 0 to 27");
}

TEST_F(hostile_request_ring, with_a_read_position_that_goes_back) {
  publish_one();
  raw.set(cf::read_position, 27);
  raw.set(cf::semaphore, 0);
  EXPECT_NE(writer.reserve(4), nullptr);
  writer.abandon();
  raw.set(cf::read_position, 5);
  expect_broken("the read position is 5, allowed is 27");
}

TEST_F(hostile_request_ring, counts_as_full_while_the_read_position_precedes_the_semaphore) {
  publish_one();
  raw.set(cf::read_position, 27);
  EXPECT_EQ(writer.reserve(4), nullptr);
  EXPECT_FALSE(writer.has_room());
  EXPECT_FALSE(writer.broken());
  raw.set(cf::semaphore, 0);
  EXPECT_TRUE(writer.has_room());
  EXPECT_NE(writer.reserve(4), nullptr);
}

TEST_F(hostile_request_ring, with_a_semaphore_above_the_number_of_requests) {
  publish_one();
  raw.set(cf::semaphore, 2);
  EXPECT_NE(writer.outstanding(), 0U);
  expect_broken("the semaphore's count of open requests is 2, allowed is 0 to 1");
}

TEST_F(hostile_request_ring, with_a_semaphore_that_rises_again) {
  publish_one();
  publish_one();
  raw.set(cf::semaphore, 0);
  EXPECT_EQ(writer.outstanding(), 0U);
  raw.set(cf::semaphore, 1);
  EXPECT_NE(writer.outstanding(), 0U);
  expect_broken("the semaphore's count of open requests is 1, allowed is 0");
}

TEST_F(hostile_request_ring, with_a_write_position_initially_outside_the_ring) {
  raw.set(cf::write_position, 2000);
  writer = ring_writer(shared);
  expect_broken("the write position is 2000, allowed is 0 to 1023");
}

}  // namespace
