// When packs are sent, and in which order.
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "channel/control_codec.hpp"
#include "channel/pack_reader.hpp"
#include "channel/packer.hpp"

namespace {

using namespace cpgring::channel;

struct sender {
  explicit sender(const packing& how = {}) : p(42, how) {}

  void message(std::uint16_t as, const std::string& text) {
    std::byte* const at = p.add(as, text.size());
    if (!text.empty()) {
      std::memcpy(at, text.data(), text.size());
    }
  }
  void large(std::uint32_t number, std::size_t size) {
    p.begin_transfer(9, number,
                     std::make_shared<std::vector<std::byte>>(size, static_cast<std::byte>(number)));
  }
  /// Sends what may be sent; one line for each pack, with "KIND:SIZE" of its records.
  std::vector<std::string> send(std::size_t most = SIZE_MAX) {
    std::vector<std::string> packs;
    while (packs.size() < most) {
      const auto pack = p.next();
      if (!pack) {
        break;
      }
      packs.push_back(describe(*pack));
      p.sent();
    }
    return packs;
  }
  std::string describe(std::span<const std::byte> pack) {
    std::vector<std::uint32_t> words(pack.size() / 4);
    std::memcpy(words.data(), pack.data(), pack.size());
    pack_header header;
    auto reader = pack_reader::open(reinterpret_cast<std::byte*>(words.data()), pack.size(), header);
    EXPECT_TRUE(reader);
    EXPECT_EQ(header.stay, 42U);
    EXPECT_EQ(header.number, p.packs_sent() + 1);
    std::string line;
    pack_record one;
    while (reader->next(one) == pack_reader::step::record) {
      if (one.kind == pack::chunk) {
        const auto chunk = decode_chunk({one.data, one.size});
        EXPECT_TRUE(chunk) << chunk.error().message();
        line += "chunk" + std::to_string(chunk->transfer) + "@" + std::to_string(chunk->offset) + " ";
        EXPECT_EQ(one.data[pack::chunk_bytes], static_cast<std::byte>(chunk->transfer));
      } else {
        line += std::to_string(one.kind) + ":" + std::to_string(one.size) + " ";
      }
      EXPECT_TRUE(one.kind < pack::optional || header.has_control);
    }
    return line.empty() ? line : line.substr(0, line.size() - 1);
  }

  packer p;
};

using lines = std::vector<std::string>;

TEST(packer, sends_a_message_of_an_idle_carrier_at_once) {
  sender s;
  EXPECT_EQ(s.send(), lines{});
  s.message(3, "hello");
  EXPECT_EQ(s.p.bytes_waiting(), 12U);
  EXPECT_EQ(s.send(), lines{"3:5"});
  EXPECT_EQ(s.p.bytes_waiting(), 0U);
  EXPECT_TRUE(s.p.idle());
  EXPECT_EQ(s.p.under_way(), 1U);
}

TEST(packer, messages_of_one_turn_share_a_pack_in_their_order) {
  sender s;
  s.message(3, "one");
  s.message(1, "");
  s.message(3, "three");
  EXPECT_EQ(s.send(), lines{"3:3 1:0 3:5"});
}

TEST(packer, waits_for_a_pack_to_come_back_when_enough_are_under_way) {
  sender s;
  for (int i = 0; i < 4; ++i) {
    s.message(0, "x");
    EXPECT_EQ(s.send().size(), 1U);
  }
  s.message(0, "y");
  s.message(0, "yy");
  EXPECT_EQ(s.send(), lines{});
  s.p.came_back();
  s.message(0, "yyy");
  EXPECT_EQ(s.send(), lines{"0:1 0:2 0:3"});
}

TEST(packer, sends_full_packs_until_the_limit_of_bytes) {
  packing how;
  how.bytes_max = 100000;
  sender s(how);
  for (int i = 0; i < 200; ++i) {
    s.message(0, std::string(1000, 'x'));
  }
  // 16 messages of 1004 bytes fill a pack of 16080.
  EXPECT_EQ(s.send().size(), 7U);
  EXPECT_LT(s.p.bytes_under_way(), how.bytes_max + how.pack_bytes);
  s.p.came_back();
  EXPECT_EQ(s.send().size(), 1U);
}

TEST(packer, a_record_larger_than_a_pack_goes_alone) {
  sender s;
  s.message(0, "small");
  s.message(1, std::string(pack::record_max, 'x'));
  s.message(2, "small");
  EXPECT_EQ(s.send(), (lines{"0:5", "1:61440", "2:5"}));
}

TEST(packer, a_refused_pack_is_offered_again_with_what_came_since) {
  sender s;
  s.message(0, "x");
  ASSERT_TRUE(s.p.next());
  s.message(0, "yy");
  const auto pack = s.p.next();
  ASSERT_TRUE(pack);
  EXPECT_EQ(s.describe(*pack), "0:1 0:2");
  s.p.sent();
  EXPECT_EQ(s.p.packs_sent(), 1U);
}

TEST(packer, hello_and_state_pass_messages_and_never_wait) {
  sender s;
  for (int i = 0; i < 4; ++i) {
    s.message(0, "x");
    EXPECT_EQ(s.send().size(), 1U);
  }
  s.message(0, "waits");
  const std::vector<std::byte> payload(24);
  s.p.add_first(pack::hello, payload);
  EXPECT_EQ(s.send(), lines{"65408:24"});
  s.p.came_back();
  EXPECT_EQ(s.send(), lines{"0:5"});
}

TEST(packer, joins_and_leaves_keep_their_place_among_messages) {
  sender s;
  s.message(pack::join, "join");
  s.message(0, "message");
  s.message(pack::leave, "leave");
  EXPECT_EQ(s.send(), lines{"65410:4 0:7 65411:5"});
}

TEST(packer, transfers_take_turns_with_one_chunk_each) {
  sender s;
  s.large(1, 100000);
  s.large(2, 40000);
  EXPECT_EQ(s.send(),
            (lines{"chunk1@0", "chunk2@0", "chunk1@32768", "chunk2@32768", "chunk1@65536", "chunk1@98304"}));
  EXPECT_TRUE(s.p.idle());
}

TEST(packer, messages_pass_large_ones_and_leave_two_chunks_under_way) {
  sender s;
  s.large(1, 10 << 20);
  EXPECT_EQ(s.send().size(), 16U);
  for (int i = 0; i < 4; ++i) {
    s.message(0, "x");
    EXPECT_EQ(s.send(), lines{"0:1"}) << "chunks do not count against messages";
  }
  s.message(0, "waits");
  for (int i = 0; i < 14; ++i) {
    s.p.came_back();
    EXPECT_EQ(s.send(), lines{});
  }
  s.p.came_back();
  EXPECT_EQ(s.send().size(), 1U) << "one chunk is under way, so another may follow";
}

TEST(packer, a_cancelled_transfer_sends_nothing_more) {
  sender s;
  s.large(1, 100000);
  s.large(2, 100000);
  EXPECT_EQ(s.send(1), lines{"chunk1@0"});
  ASSERT_TRUE(s.p.next());
  s.p.cancel_transfer(2);
  EXPECT_EQ(s.send(1), lines{"chunk1@32768"});
  s.p.cancel_transfer(1);
  EXPECT_TRUE(s.p.idle());
  EXPECT_EQ(s.send(), lines{});
}

TEST(packer, buffers_of_sent_packs_are_used_again) {
  sender s;
  s.message(0, "x");
  const auto first = s.p.next();
  ASSERT_TRUE(first);
  const std::byte* const at = first->data();
  s.p.sent();
  s.message(0, "y");
  const auto second = s.p.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->data(), at);
}

}  // namespace
