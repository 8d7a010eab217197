// Requests that our encoder made, responses and events, and what is said of those that do not decode.
#include <cstring>
#include <string>
#include <string_view>

#include <gmock/gmock.h>

#include "cpg/requests.hpp"
#include "cpg/wire_format.hpp"
#include "inspect/content.hpp"
#include "unit/inspect/copies.hpp"

namespace cpgring::inspect::test {
namespace {

namespace wire = cpg::wire;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

content of_request(const cpg::encoded_request& request) {
  bytes copy(request.bytes().begin(), request.bytes().end());
  auto found = describe_content(ring_kind::request, copy);
  static std::string kept;  // the view refers to the copy
  if (found.group) {
    kept = *found.group;
    found.group = kept;
  }
  return found;
}

bytes message_with(std::int32_t id, std::size_t size) {
  bytes all(size);
  put_u32(all, wire::header_id, static_cast<std::uint32_t>(id));
  put_u32(all, wire::header_size, static_cast<std::uint32_t>(size));
  return all;
}

bytes event_with(wire::event id, std::size_t size) {
  return message_with(static_cast<std::int32_t>(id), size);
}

void put_group(bytes& to, std::string_view group) {
  put_u32(to, wire::event_group + wire::name_length, static_cast<std::uint32_t>(group.size()));
  std::memcpy(to.data() + wire::event_group + wire::name_text, group.data(), group.size());
}

TEST(inspected_content, names_the_requests_that_we_send) {
  const auto join = of_request(cpg::encode_join("chat", 17, 0));
  EXPECT_EQ(join.what, "request to join");
  EXPECT_EQ(join.group, "chat");
  EXPECT_EQ(join.pid, 17U);
  EXPECT_EQ(of_request(cpg::encode_leave("chat", 18)).what, "request to leave");
  EXPECT_EQ(of_request(cpg::encode_local_get()).what, "request to get the local node id");
  EXPECT_EQ(of_request(cpg::encode_finalize()).what, "request to finalize");
  EXPECT_EQ(of_request(cpg::encode_iteration_begin(3, "all")).group, "all");
  EXPECT_EQ(of_request(cpg::encode_iteration_next(0x1234567890)).iteration, 0x1234567890U);
  EXPECT_EQ(of_request(cpg::encode_iteration_end(5)).what, "request to end an iteration");
}

TEST(inspected_content, shows_the_payload_of_a_multicast_and_of_a_fragment) {
  bytes multicast(wire::multicast_request::data + 5);
  cpg::put_multicast_header(multicast.data(), 5);
  std::memcpy(multicast.data() + wire::multicast_request::data, "hello", 5);
  auto found = describe_content(ring_kind::request, multicast);
  EXPECT_EQ(found.what, "request to multicast");
  ASSERT_TRUE(found.data);
  EXPECT_EQ(text_of(bytes(found.data->begin(), found.data->end())), "hello");

  bytes fragment(wire::partial_multicast_request::data + 3);
  cpg::put_fragment_header(fragment.data(), 9, 3, wire::fragment_type::middle);
  found = describe_content(ring_kind::request, fragment);
  EXPECT_EQ(found.what, "request to multicast a fragment");
  EXPECT_EQ(found.total, 9U);
  EXPECT_EQ(found.fragment, "middle");
  ASSERT_TRUE(found.data);
  EXPECT_THAT(*found.data, SizeIs(3));
}

TEST(inspected_content, shows_a_message) {
  namespace w = wire::deliver_event;
  auto event = event_with(wire::event::deliver, w::data + 5);
  put_group(event, "chat");
  put_u32(event, w::length, 5);
  put_u32(event, w::node, 3);
  put_u32(event, w::pid, 42);
  std::memcpy(event.data() + w::data, "hello", 5);
  const auto found = describe_content(ring_kind::event, event);
  EXPECT_EQ(found.what, "message");
  EXPECT_EQ(found.group, "chat");
  EXPECT_EQ(found.node, 3U);
  EXPECT_EQ(found.pid, 42U);
  ASSERT_TRUE(found.data);
  EXPECT_EQ(text_of(bytes(found.data->begin(), found.data->end())), "hello");
  EXPECT_THAT(found.wrong, IsEmpty());
}

TEST(inspected_content, shows_who_came_and_went_in_a_view) {
  namespace w = wire::configuration_event;
  auto event = event_with(wire::event::configuration, w::lists + 4 * wire::address_bytes);
  put_group(event, "chat");
  put_u32(event, w::members, 2);
  put_u32(event, w::left, 1);
  put_u32(event, w::joined, 1);
  for (std::uint32_t i = 0; i < 4; ++i) {
    const std::size_t at = w::lists + i * wire::address_bytes;
    put_u32(event, at + wire::address_node, 1);
    put_u32(event, at + wire::address_pid, 100 + i);
  }
  put_u32(event, w::lists + 2 * wire::address_bytes + wire::address_reason, 3);
  const auto found = describe_content(ring_kind::event, event);
  EXPECT_EQ(found.what, "view");
  ASSERT_THAT(found.members, SizeIs(2));
  ASSERT_THAT(found.left, SizeIs(1));
  ASSERT_THAT(found.joined, SizeIs(1));
  EXPECT_EQ(found.members[1].pid, 101U);
  EXPECT_EQ(found.left[0].pid, 102U);
  EXPECT_EQ(found.left[0].why, reason::node_down);
  EXPECT_EQ(found.joined[0].pid, 103U);
}

TEST(inspected_content, shows_a_totem_ring_and_a_fragment) {
  namespace t = wire::totem_configuration_event;
  auto event = event_with(wire::event::totem_configuration, t::members + 12);
  put_u32(event, t::ring_node, 1);
  put_u32(event, t::ring_sequence, 77);
  put_u32(event, t::count, 2);
  put_u32(event, t::members, 1);
  put_u32(event, t::members + 4, 2);
  auto found = describe_content(ring_kind::event, event);
  EXPECT_EQ(found.what, "totem ring");
  ASSERT_TRUE(found.ring);
  EXPECT_EQ(found.ring->sequence, 77U);
  EXPECT_THAT(found.ring_nodes, ElementsAre(1U, 2U));

  namespace p = wire::partial_deliver_event;
  auto piece = event_with(wire::event::partial_deliver, p::data + 4);
  put_group(piece, "chat");
  put_u32(piece, p::length, 4);
  put_u32(piece, p::total, 8);
  put_u32(piece, p::type, 3);
  found = describe_content(ring_kind::event, piece);
  EXPECT_EQ(found.what, "fragment of a message");
  EXPECT_EQ(found.fragment, "last");
  EXPECT_EQ(found.total, 8U);
}

TEST(inspected_content, shows_what_a_response_grants_or_refuses) {
  auto local = message_with(7, wire::local_get_response::bytes);
  put_u32(local, wire::header_error, 1);
  put_u32(local, wire::local_get_response::node, 9);
  auto found = describe_content(ring_kind::response, local);
  EXPECT_EQ(found.what, "response to get the local node id");
  EXPECT_EQ(found.status, "granted");
  EXPECT_EQ(found.node, 9U);

  auto refused = message_with(0, wire::response_header_bytes);
  put_u32(refused, wire::header_error, 6);
  found = describe_content(ring_kind::response, refused);
  EXPECT_EQ(found.what, "response to join");
  EXPECT_EQ(found.status, "refused: " + make_error_code(errc::try_again).message());
}

TEST(inspected_content, says_why_something_does_not_decode) {
  bytes none;
  EXPECT_EQ(describe_content(ring_kind::request, none).wrong, "the request has 0 bytes, 16 are the least");
  EXPECT_EQ(describe_content(ring_kind::response, none).wrong, "the response has 0 bytes, 24 are the least");
  EXPECT_EQ(describe_content(ring_kind::event, none).wrong, "size of an event is 0, allowed is 24 or more");
  auto strange = message_with(99, 24);
  EXPECT_EQ(describe_content(ring_kind::request, strange).wrong, "request id is 99, which CPG has not");
  EXPECT_EQ(describe_content(ring_kind::response, strange).wrong, "response id is 99, which CPG has not");
  EXPECT_EQ(describe_content(ring_kind::event, strange).wrong, "event id is 99, allowed is 4 to 17");
  auto short_join = message_with(0, 24);
  EXPECT_EQ(describe_content(ring_kind::request, short_join).wrong,
            "the request to join has 24 bytes, 168 are the least");
  auto lying = message_with(2, wire::multicast_request::data + 4);
  put_u32(lying, wire::multicast_request::length, 5);
  EXPECT_EQ(describe_content(ring_kind::request, lying).wrong, "message length is 5, allowed is 0 to 4");
  EXPECT_THAT(describe_content(ring_kind::unknown, strange).what, IsEmpty());
}

TEST(inspected_content, learns_kind_and_service_from_the_name_of_a_file) {
  EXPECT_EQ(name_of("qb-event-cpg-header").kind, ring_kind::event);
  EXPECT_EQ(name_of("qb-event-cpg-header").service, "cpg");
  EXPECT_EQ(name_of("qb-request-a-data-data").service, "a-data");
  EXPECT_EQ(name_of("qb-response-cpg").kind, ring_kind::response);
  EXPECT_EQ(name_of("qb-corosync-1-blackbox-header").kind, ring_kind::unknown);
  EXPECT_EQ(name_of("").kind, ring_kind::unknown);
  EXPECT_TRUE(may_be_cpg("cpgring"));
  EXPECT_FALSE(may_be_cpg("cmap"));
}

}  // namespace
}  // namespace cpgring::inspect::test
