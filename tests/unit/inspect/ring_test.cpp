// Rings that libqb, our reader and our writer have left, described from copies of their files; then the same
// with wrong fields.
#include <deque>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include "inspect/ring.hpp"
#include "ipc/ring_reader.hpp"
#include "ipc/ring_writer.hpp"
#include "unit/inspect/copies.hpp"
#include "unit/ipc/qb_ring.hpp"
#include "unit/ipc/raw_ring.hpp"

namespace cpgring::inspect::test {
namespace {

using ipc::test::one_page;
using ipc::test::qb_ring;
using ipc::test::raw_ring;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
namespace cf = ipc::chunk_format;

ring described(const copies& of) {
  auto r = describe_ring(of.header, of.data);
  EXPECT_TRUE(r) << r.error().message();
  return r ? *r : ring{};
}

TEST(inspected_ring, is_empty_after_libqb_made_it) {
  const qb_ring peer(one_page);
  const auto r = described(copies(peer.base()));
  EXPECT_EQ(r.words, 1024U);
  EXPECT_EQ(r.used_words, 0U);
  EXPECT_EQ(r.payload_room, 4096U - cf::spare_bytes);
  EXPECT_THAT(r.chunks, IsEmpty());
  EXPECT_THAT(r.findings, IsEmpty());
}

TEST(inspected_ring, lists_what_libqb_wrote_oldest_first) {
  const qb_ring peer(one_page);
  ASSERT_TRUE(peer.write("one"));
  ASSERT_TRUE(peer.write(""));
  ASSERT_TRUE(peer.write("three"));
  const copies of(peer.base());
  const auto r = described(of);
  EXPECT_THAT(r.findings, IsEmpty());
  ASSERT_THAT(r.chunks, SizeIs(3));
  EXPECT_EQ(text_of(payload_of(r, r.chunks[0], of.data)), "one");
  EXPECT_EQ(text_of(payload_of(r, r.chunks[1], of.data)), "");
  EXPECT_EQ(text_of(payload_of(r, r.chunks[2], of.data)), "three");
  EXPECT_EQ(r.chunks[1].position, 3U);
  EXPECT_EQ(r.counted, 3U);
  EXPECT_EQ(r.used_words, 3U + 2U + 4U);
  for (const auto& c : r.chunks) {
    EXPECT_EQ(c.state, chunk_state::ready);
    EXPECT_FALSE(c.taken);
  }
}

TEST(inspected_ring, tells_what_our_reader_has_taken_from_what_waits) {
  const qb_ring peer(one_page);
  const auto ours = peer.open_ours();
  ipc::ring_reader reader(ours);
  ASSERT_TRUE(peer.write("taken"));
  reader.collect();
  ASSERT_TRUE(peer.write("waits"));
  const auto r = described(copies(peer.base()));
  ASSERT_THAT(r.chunks, SizeIs(2));
  EXPECT_TRUE(r.chunks[0].taken);
  EXPECT_FALSE(r.chunks[1].taken);
  EXPECT_THAT(r.findings, IsEmpty());
}

TEST(inspected_ring, lists_what_our_writer_published_and_no_more) {
  const qb_ring peer(one_page);
  const auto ours = peer.open_ours();
  ipc::ring_writer writer(ours);
  for (int i = 0; i < 3; ++i) {
    ASSERT_NE(writer.reserve(40), nullptr);
    writer.stage(40);
    if (i == 1) {
      writer.publish();
    }
  }
  const auto r = described(copies(peer.base()));
  EXPECT_THAT(r.chunks, SizeIs(2));
  EXPECT_THAT(r.findings, IsEmpty());
}

// Everything is compared with what was written, over many laps, in chunks that go over the end of the file.
RC_GTEST_PROP(inspected_ring, agrees_with_libqb_in_each_state, ()) {
  const qb_ring peer(one_page);
  std::deque<std::string> there;
  const auto steps =
      *rc::gen::container<std::vector<std::uint32_t>>(40, rc::gen::inRange<std::uint32_t>(0, 1500));
  for (const std::uint32_t step : steps) {
    if (step % 3 != 0) {
      auto written = ipc::test::payload(step, step);
      if (peer.write(written)) {
        there.push_back(std::move(written));
      }
    } else if (const auto read = peer.read()) {
      RC_ASSERT(*read == there.front());
      there.pop_front();
    }
    const copies of(peer.base());
    const auto r = described(of);
    RC_ASSERT(r.findings.empty());
    RC_ASSERT(r.chunks.size() == there.size());
    for (std::size_t i = 0; i < there.size(); ++i) {
      RC_ASSERT(text_of(payload_of(r, r.chunks[i], of.data)) == there[i]);
    }
  }
}

TEST(inspected_ring, says_for_which_payload_there_is_room) {
  const qb_ring peer(one_page);
  for (std::uint32_t seed = 0; peer.write(std::string(300 + seed, 'x')); ++seed) {
  }
  const auto room = described(copies(peer.base())).payload_room;
  EXPECT_FALSE(peer.write(std::string(room + 1, 'x')));
  EXPECT_TRUE(peer.write(std::string(room, 'x')));
  EXPECT_EQ(described(copies(peer.base())).payload_room, 0U);
}

// --- wrong fields ---

struct wrong_ring : ::testing::Test {
  wrong_ring() {
    raw.set(cf::write_position, raw.put_chunk(raw.put_chunk(0, 5), 60));
    raw.post(2);
  }
  ring now() const { return described(copies(raw.base())); }
  raw_ring raw;
};

TEST_F(wrong_ring, is_good_before_something_is_wrong) {
  EXPECT_THAT(now().findings, IsEmpty());
  EXPECT_THAT(now().chunks, SizeIs(2));
}

TEST_F(wrong_ring, with_a_short_header_is_none) {
  const copies of(raw.base());
  for (const std::size_t size : {std::size_t{0}, std::size_t{4}, header_bytes - 1}) {
    const auto r = describe_ring(std::span(of.header).first(size), of.data);
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error(), errc::malformed);
    EXPECT_EQ(r.error().text,
              fmt::format("the header file has {} bytes, that of a ring has at least 8248", size));
  }
}

TEST_F(wrong_ring, whose_data_file_is_short_lists_nothing) {
  copies of(raw.base());
  of.data.resize(4000);
  const auto r = described(of);
  EXPECT_THAT(r.findings,
              ElementsAre("the header says that the data file has 1024 words (4096 bytes); it has "
                          "4000 bytes"));
  EXPECT_THAT(r.chunks, IsEmpty());
}

TEST_F(wrong_ring, whose_data_file_is_long_still_lists_its_chunks) {
  copies of(raw.base());
  of.data.resize(8192);
  const auto r = described(of);
  EXPECT_THAT(r.findings, SizeIs(1));
  EXPECT_THAT(r.chunks, SizeIs(2));
}

TEST_F(wrong_ring, names_a_size_and_positions_out_of_range) {
  raw.set(cf::write_position, 1024);
  raw.set(cf::read_position, 5000);
  EXPECT_THAT(now().findings, ElementsAre("the write position is 1024, allowed is 0 to 1023",
                                          "the read position is 5000, allowed is 0 to 1023"));
  raw.set(cf::data_words, 0);
  EXPECT_THAT(now().findings, ElementsAre("the header says that the data file has 0 words, allowed are 1 to "
                                          "268435456"));
}

TEST_F(wrong_ring, names_a_length_beyond_the_write_position) {
  raw.set_word(4, 61);
  const auto r = now();
  EXPECT_THAT(r.findings,
              ElementsAre("the chunk at word 4 says that its payload has 61 bytes; only 60 lie before "
                          "the write position"));
  ASSERT_THAT(r.chunks, SizeIs(2));
  EXPECT_EQ(r.chunks[1].state, chunk_state::too_long);
  EXPECT_THAT(payload_of(r, r.chunks[1], copies(raw.base()).data), IsEmpty());
}

TEST_F(wrong_ring, names_a_wrong_magic) {
  raw.set_word(1, 0x1234);
  const auto r = now();
  EXPECT_THAT(r.findings,
              ElementsAre("the chunk at word 0 has the magic 0x00001234; a chunk that waits has 0xa1a1a1a1"));
  EXPECT_THAT(r.chunks, SizeIs(1));
}

TEST_F(wrong_ring, goes_on_behind_a_chunk_that_is_being_written) {
  raw.set_word(1, cf::magic_being_written);
  raw.set(cf::semaphore, 0);
  const auto r = now();
  EXPECT_THAT(r.findings, IsEmpty());
  ASSERT_THAT(r.chunks, SizeIs(2));
  EXPECT_EQ(r.chunks[0].state, chunk_state::being_written);
}

TEST_F(wrong_ring, ends_at_a_chunk_that_is_being_given_back) {
  raw.set_word(0, 0);
  raw.set_word(1, cf::magic_consumed);
  EXPECT_THAT(now().findings, ElementsAre(HasSubstr("marked the chunk at word 0 as consumed")));
}

TEST_F(wrong_ring, names_a_count_above_its_chunks) {
  raw.post(1);
  EXPECT_THAT(now().findings, ElementsAre("the semaphore counts 3 chunks, between the positions lie 2"));
}

TEST_F(wrong_ring, names_a_rest_that_is_no_chunk) {
  raw.set(cf::write_position, 5);
  EXPECT_THAT(now().findings, SizeIs(1));
  raw.set(cf::read_position, 4);
  EXPECT_THAT(now().findings,
              ElementsAre("1 word lies between word 4 and the write position; no chunk is that short"));
}

}  // namespace
}  // namespace cpgring::inspect::test
