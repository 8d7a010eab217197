#include "cpg/codec.hpp"

#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "cpg/encode.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::cpg;

struct raw_event {
  explicit raw_event(wire::event id, std::size_t size) : bytes(size) {
    put(bytes.data() + wire::header_id, static_cast<std::int32_t>(id));
    put(bytes.data() + wire::header_size, static_cast<std::int32_t>(size));
  }
  raw_event& u32(std::size_t at, std::uint32_t value) {
    put(bytes.data() + at, value);
    return *this;
  }
  event_kind decode_into(event& out) {
    return decode(bytes.data(), static_cast<std::uint32_t>(bytes.size()), out);
  }
  std::vector<std::byte> bytes;
};

raw_event message_of(std::size_t payload, std::uint32_t said) {
  raw_event e(wire::event::deliver, wire::deliver_event::data + payload);
  e.u32(wire::deliver_event::length, said)
      .u32(wire::deliver_event::node, 7)
      .u32(wire::deliver_event::pid, 4242);
  return e;
}

TEST(codec, decodes_a_message_without_copying) {
  auto e = message_of(64, 64);
  event out;
  ASSERT_EQ(e.decode_into(out), event_kind::deliver);
  EXPECT_EQ(out.message.data, e.bytes.data() + 184);
  EXPECT_EQ(out.message.size, 64U);
  EXPECT_EQ(out.message.node, 7U);
  EXPECT_EQ(out.message.pid, 4242U);
}

TEST(codec, decodes_an_empty_message) {
  auto e = message_of(0, 0);
  event out;
  ASSERT_EQ(e.decode_into(out), event_kind::deliver);
  EXPECT_EQ(out.message.size, 0U);
}

TEST(codec, refuses_a_message_longer_than_its_chunk_and_names_the_field) {
  auto e = message_of(64, 65);
  event out;
  ASSERT_EQ(e.decode_into(out), event_kind::broken);
  const error why = out.to_error();
  EXPECT_EQ(why, errc::malformed);
  EXPECT_NE(why.text.find("message length is 65, allowed is 0 to 64"), std::string::npos) << why.text;
}

TEST(codec, refuses_a_message_chunk_without_room_for_its_header) {
  raw_event e(wire::event::deliver, 100);
  event out;
  EXPECT_EQ(e.decode_into(out), event_kind::broken);
}

TEST(codec, refuses_an_unknown_event_id) {
  raw_event e(static_cast<wire::event>(99), 300);
  event out;
  ASSERT_EQ(e.decode_into(out), event_kind::broken);
  EXPECT_STREQ(out.why.field, "event id");
  EXPECT_EQ(out.why.value, 99U);
}

TEST(codec, reads_members_left_and_joined_in_wire_order) {
  namespace w = wire::configuration_event;
  raw_event e(wire::event::configuration, w::lists + 4 * wire::address_bytes);
  e.u32(w::members, 2).u32(w::left, 1).u32(w::joined, 1);
  e.u32(w::name, 3);
  std::memcpy(e.bytes.data() + w::name + wire::name_text, "a\0b", 3);
  const std::uint32_t rows[4][3] = {{1, 10, 0}, {2, 20, 0}, {3, 30, 5}, {2, 20, 1}};
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t at = w::lists + i * wire::address_bytes;
    e.u32(at, rows[i][0]).u32(at + 8, rows[i][1]).u32(at + 16, rows[i][2]);
  }
  event out;
  ASSERT_EQ(e.decode_into(out), event_kind::configuration);
  EXPECT_EQ(out.membership.group, std::string_view("a\0b", 3));
  EXPECT_EQ(out.membership.member_at(1).pid, 20U);
  EXPECT_EQ(out.membership.left_at(0).node_id, 3U);
  EXPECT_EQ(out.membership.left_at(0).why, reason::process_down);
  EXPECT_EQ(out.membership.joined_at(0).pid, 20U);
  EXPECT_EQ(out.membership.joined_at(0).why, reason::join);
}

TEST(codec, refuses_counts_whose_sum_overflows_the_chunk_or_32_bits) {
  namespace w = wire::configuration_event;
  raw_event e(wire::event::configuration, w::lists + 2 * wire::address_bytes);
  event out;
  e.u32(w::members, 1).u32(w::left, 1).u32(w::joined, 1);
  EXPECT_EQ(e.decode_into(out), event_kind::broken);
  e.u32(w::members, 0xffffffff).u32(w::left, 1).u32(w::joined, 1);  // sums to 1 in 32 bits
  ASSERT_EQ(e.decode_into(out), event_kind::broken);
  EXPECT_EQ(out.why.most, 2U);
}

TEST(codec, refuses_a_group_name_above_128_bytes) {
  namespace w = wire::configuration_event;
  raw_event e(wire::event::configuration, w::lists);
  e.u32(w::name, 129);
  event out;
  ASSERT_EQ(e.decode_into(out), event_kind::broken);
  EXPECT_STREQ(out.why.field, "group name length");
}

TEST(codec, reads_a_ring_whose_sequence_is_only_4_byte_aligned) {
  namespace w = wire::totem_configuration_event;
  raw_event e(wire::event::totem_configuration, w::fixed_bytes + 4 * 2);
  e.u32(w::ring_node, 5).u32(w::ring_sequence, 0x11223344).u32(w::ring_sequence + 4, 0x1).u32(w::count, 2);
  e.u32(w::members, 5).u32(w::members + 4, 6);
  event out;
  ASSERT_EQ(e.decode_into(out), event_kind::totem_configuration);
  EXPECT_EQ(out.ring.ring, (ring_id{5, 0x111223344}));
  EXPECT_EQ(out.ring.node_at(1), 6U);
  e.u32(w::count, 4);
  EXPECT_EQ(e.decode_into(out), event_kind::broken);
}

TEST(codec, refuses_a_fragment_of_unknown_type_or_length) {
  namespace w = wire::partial_deliver_event;
  raw_event e(wire::event::partial_deliver, w::data + 10);
  e.u32(w::length, 10).u32(w::total, 30).u32(w::type, 1);
  event out;
  ASSERT_EQ(e.decode_into(out), event_kind::fragment);
  EXPECT_EQ(out.piece.total, 30U);
  e.u32(w::type, 4);
  EXPECT_EQ(e.decode_into(out), event_kind::broken);
  e.u32(w::type, 1).u32(w::length, 11);
  EXPECT_EQ(e.decode_into(out), event_kind::broken);
}

raw_event of_group(wire::event id, std::string_view group) {
  raw_event e(id, 300);
  put_name(e.bytes.data() + wire::event_group, group);
  if (id == wire::event::partial_deliver) {
    e.u32(wire::partial_deliver_event::type, 1);
  }
  return e;
}

TEST(codec, accepts_only_events_of_the_joined_group) {
  for (const auto id : {wire::event::deliver, wire::event::configuration, wire::event::partial_deliver}) {
    for (const std::string& named : {std::string("g"), std::string("group"), std::string("grou\0", 5),
                                     std::string(128, 'g'), std::string()}) {
      auto e = of_group(id, named);
      event out;
      const auto size = static_cast<std::uint32_t>(e.bytes.size());
      for (const std::string& joined :
           {std::string("group"), std::string(128, 'g'), std::string("grou"), std::string()}) {
        const bool own = named == joined && !joined.empty();
        EXPECT_EQ(decode(e.bytes.data(), size, joined, out) != event_kind::broken, own)
            << named << " in " << joined;
      }
    }
  }
}

TEST(codec, names_both_groups_with_control_characters_escaped) {
  auto e = of_group(wire::event::deliver, "other\x1b[31m");
  event out;
  ASSERT_EQ(decode(e.bytes.data(), 300, "mine", out), event_kind::broken);
  EXPECT_EQ(out.to_error(), errc::malformed);
  EXPECT_EQ(out.to_error().text,
            "the service sent an event of group 'other\\x1b[31m' to a handle that is in group 'mine'; this "
            "connection ended");
  ASSERT_EQ(decode(e.bytes.data(), 300, "", out), event_kind::broken);
  EXPECT_NE(out.to_error().text.find("in no group"), std::string::npos);
}

TEST(codec, refuses_an_event_whose_group_name_length_is_out_of_range) {
  auto e = of_group(wire::event::deliver, "mine");
  e.u32(wire::event_group, 0xFFFFFFFF);
  event out;
  ASSERT_EQ(decode(e.bytes.data(), 300, "mine", out), event_kind::broken);
  EXPECT_EQ(out.to_error(), errc::malformed);
}

TEST(codec, accepts_ring_events_without_a_joined_group) {
  raw_event e(wire::event::totem_configuration, 300);
  event out;
  EXPECT_EQ(decode(e.bytes.data(), 300, "", out), event_kind::totem_configuration);
}

RC_GTEST_PROP(codec, never_points_outside_the_frame, (std::vector<std::uint8_t> noise, std::uint8_t id)) {
  std::vector<std::byte> bytes(noise.size());
  if (!noise.empty()) {
    std::memcpy(bytes.data(), noise.data(), noise.size());
  }
  if (bytes.size() >= 4) {
    const std::int32_t known[] = {4, 5, 13, 17, id};
    put(bytes.data(), known[id % 5]);
  }
  event out;
  const auto size = static_cast<std::uint32_t>(bytes.size());
  const std::byte* end = bytes.data() + size;
  switch (decode(bytes.data(), size, out)) {
    case event_kind::deliver: RC_ASSERT(out.message.data + out.message.size <= end); break;
    case event_kind::fragment: RC_ASSERT(out.piece.data + out.piece.size <= end); break;
    case event_kind::configuration: {
      const auto rows = std::size_t{out.membership.members} + out.membership.left + out.membership.joined;
      RC_ASSERT(out.membership.lists + rows * wire::address_bytes <= end);
      break;
    }
    case event_kind::totem_configuration:
      RC_ASSERT(out.ring.nodes + std::size_t{out.ring.count} * 4 <= end);
      break;
    case event_kind::broken: RC_ASSERT(out.to_error() == errc::malformed); break;
  }
}

}  // namespace
