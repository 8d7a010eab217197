// Packs: what the writer wrote is read back, and foreign bytes are refused.
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "channel/pack_reader.hpp"
#include "channel/pack_writer.hpp"

namespace {

using namespace cpgring::channel;

struct aligned_bytes {
  explicit aligned_bytes(std::size_t size) : words(size / 4) {}
  std::byte* data() { return reinterpret_cast<std::byte*>(words.data()); }
  std::vector<std::uint32_t> words;
};

std::vector<std::pair<std::uint16_t, std::string>> records(std::byte* at, std::size_t size,
                                                           pack_reader::step end) {
  pack_header header;
  auto reader = pack_reader::open(at, size, header);
  std::vector<std::pair<std::uint16_t, std::string>> all;
  if (!reader) {
    ADD_FAILURE() << "this is no pack";
    return all;
  }
  pack_record one;
  pack_reader::step step{};
  while ((step = reader->next(one)) == pack_reader::step::record) {
    all.emplace_back(one.kind, std::string(reinterpret_cast<const char*>(one.data), one.size));
  }
  EXPECT_EQ(step, end);
  return all;
}

bool add(pack_writer& to, std::uint16_t kind, const std::string& text) {
  std::byte* const at = to.add(kind, text.size());
  if (at != nullptr && !text.empty()) {
    std::memcpy(at, text.data(), text.size());
  }
  return at != nullptr;
}

RC_GTEST_PROP(packs, are_read_as_they_were_written, ()) {
  const auto wanted = *rc::gen::container<std::vector<std::pair<std::uint16_t, std::string>>>(
      rc::gen::pair(rc::gen::arbitrary<std::uint16_t>(), rc::gen::arbitrary<std::string>()));
  const auto capacity = *rc::gen::inRange<std::size_t>(4, 300) * 4;
  aligned_bytes memory(capacity);
  pack_writer writer(memory.data(), capacity, 77, 5);
  std::vector<std::pair<std::uint16_t, std::string>> written;
  bool control = false;
  for (const auto& [kind, text] : wanted) {
    if (!add(writer, kind, text)) {
      RC_ASSERT(writer.room() < pack::record_header_bytes + pack::padded(text.size()));
      break;
    }
    written.emplace_back(kind, text);
    control = control || kind >= pack::optional;
  }
  const std::size_t size = writer.finish();
  RC_ASSERT(size <= capacity);
  RC_ASSERT(writer.records() == written.size());
  RC_ASSERT(records(memory.data(), size, pack_reader::step::end) == written);
  pack_header header;
  RC_ASSERT(pack_reader::open(memory.data(), size, header).has_value());
  RC_ASSERT(header.stay == 77U && header.number == 5U && header.has_control == control);
}

TEST(packs, one_small_message_costs_twenty_bytes) {
  aligned_bytes memory(100);
  pack_writer writer(memory.data(), 100, 1, 1);
  ASSERT_TRUE(add(writer, 3, std::string(64, 'x')));
  EXPECT_EQ(writer.finish(), 84U);
}

TEST(packs, a_record_above_the_limit_does_not_fit_any_pack) {
  aligned_bytes memory(1 << 20);
  pack_writer writer(memory.data(), 1 << 20, 1, 1);
  EXPECT_EQ(writer.add(0, pack::record_max + 1), nullptr);
  EXPECT_NE(writer.add(0, pack::record_max), nullptr);
}

TEST(packs, other_messages_are_recognised) {
  aligned_bytes memory(64);
  pack_writer writer(memory.data(), 64, 1, 1);
  ASSERT_TRUE(add(writer, 0, "message"));
  const std::size_t size = writer.finish();
  pack_header header;
  EXPECT_TRUE(pack_reader::open(memory.data(), size, header));
  EXPECT_FALSE(pack_reader::open(memory.data(), pack::header_bytes - 4, header));
  EXPECT_FALSE(pack_reader::open(memory.data(), size - 1, header)) << "no multiple of 4";
  for (std::size_t byte = 0; byte < 4; ++byte) {
    auto other = memory;
    other.data()[byte] ^= std::byte{1};
    EXPECT_FALSE(pack_reader::open(other.data(), size, header)) << "magic, byte " << byte;
  }
  for (const std::uint16_t length : std::vector<std::uint16_t>{0, 12, 18, 64}) {
    auto other = memory;
    std::memcpy(other.data() + pack::header_length_at, &length, 2);
    EXPECT_FALSE(pack_reader::open(other.data(), size, header)) << "header of " << length;
  }
}

TEST(packs, a_longer_header_of_a_later_version_is_skipped) {
  aligned_bytes memory(64);
  pack_writer writer(memory.data(), 64, 1, 1);
  ASSERT_TRUE(add(writer, 0, "what will be header"));
  ASSERT_TRUE(add(writer, 1, "message"));
  const std::size_t size = writer.finish();
  const std::uint16_t length = pack::header_bytes + 24;
  std::memcpy(memory.data() + pack::header_length_at, &length, 2);
  EXPECT_EQ(records(memory.data(), size, pack_reader::step::end),
            (std::vector<std::pair<std::uint16_t, std::string>>{{1, "message"}}));
}

TEST(packs, a_record_beyond_the_end_breaks_the_rest_only) {
  aligned_bytes memory(64);
  pack_writer writer(memory.data(), 64, 1, 1);
  ASSERT_TRUE(add(writer, 0, "good"));
  ASSERT_TRUE(add(writer, 1, "bad!"));
  const std::size_t size = writer.finish();
  for (const std::uint16_t length : std::vector<std::uint16_t>{5, 100, 0xFFFF}) {
    std::memcpy(memory.data() + pack::header_bytes + 8 + 2, &length, 2);
    EXPECT_EQ(records(memory.data(), size, pack_reader::step::broken),
              (std::vector<std::pair<std::uint16_t, std::string>>{{0, "good"}}));
  }
}

}  // namespace
