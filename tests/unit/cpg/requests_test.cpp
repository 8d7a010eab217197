// The bytes of requests as a stock service reads them, and the decoding of answers.
#include "cpg/requests.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace {

using namespace cpgring;
using namespace cpgring::cpg;

std::uint32_t u32(std::span<const std::byte> bytes, std::size_t at) {
  return base::read_once_u32(bytes.data() + at);
}
std::string text(std::span<const std::byte> bytes, std::size_t at, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes.data()) + at, size};
}

struct expected_request {
  encoded_request request;
  wire::request id;
  std::size_t size;
  wire::response answer;
  std::size_t answer_size;
};

/// Ids and sizes are those of corosync's headers.
TEST(requests, have_the_ids_and_sizes_of_corosync) {
  const expected_request all[] = {
      {encode_join("g", 1, 1), wire::request::join, 168, wire::response::join, 24},
      {encode_leave("g", 1), wire::request::leave, 160, wire::response::leave, 24},
      {encode_local_get(), wire::request::local_get, 16, wire::response::local_get, 32},
      {encode_finalize(), wire::request::finalize, 16, wire::response::finalize, 24},
      {encode_iteration_begin(2, "g"), wire::request::iteration_initialize, 160,
       wire::response::iteration_initialize, 32},
      {encode_iteration_begin(1, {}), wire::request::iteration_initialize, 160,
       wire::response::iteration_initialize, 32},
      {encode_iteration_next(9), wire::request::iteration_next, 24, wire::response::iteration_next, 168},
      {encode_iteration_end(9), wire::request::iteration_finalize, 24, wire::response::iteration_finalize,
       24},
  };
  for (const auto& one : all) {
    const auto bytes = one.request.bytes();
    ASSERT_EQ(bytes.size(), one.size);
    EXPECT_EQ(u32(bytes, 0), static_cast<std::uint32_t>(one.id));
    EXPECT_EQ(u32(bytes, 8), one.size);
    EXPECT_EQ(one.request.answer().id, one.answer);
    EXPECT_EQ(one.request.answer().size, one.answer_size);
  }
}

RC_GTEST_PROP(requests, contain_their_fields_and_zeroes_elsewhere,
              (std::uint32_t pid, std::uint64_t iteration)) {
  const auto size = *rc::gen::inRange<std::size_t>(1, wire::name_text_max + 1);
  const auto name = *rc::gen::container<std::string>(size, rc::gen::arbitrary<char>());
  const auto sum = [](std::span<const std::byte> bytes) {
    return std::count_if(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; });
  };
  const auto of_number = [](std::uint64_t n) {
    std::ptrdiff_t count = 0;
    for (; n != 0; n >>= 8) {
      count += (n & 0xff) != 0 ? 1 : 0;
    }
    return count;
  };
  const auto of_name =
      of_number(size) + std::count_if(name.begin(), name.end(), [](char c) { return c != '\0'; });
  const auto join = encode_join(name, pid, 1);
  RC_ASSERT(u32(join.bytes(), 16) == size && text(join.bytes(), 24, size) == name);
  RC_ASSERT(u32(join.bytes(), 152) == pid && u32(join.bytes(), 160) == 1U);
  RC_ASSERT(sum(join.bytes()) == 1 + of_name + of_number(pid) + 1);  // id 0, size, name, pid, flags
  const auto leave = encode_leave(name, pid);
  RC_ASSERT(u32(leave.bytes(), 16) == size && text(leave.bytes(), 24, size) == name);
  RC_ASSERT(u32(leave.bytes(), 152) == pid);
  const auto begin = encode_iteration_begin(2, name);
  RC_ASSERT(text(begin.bytes(), 24, size) == name && u32(begin.bytes(), 152) == 2U);
  for (const auto& one : {encode_iteration_next(iteration), encode_iteration_end(iteration)}) {
    RC_ASSERT(base::read_once_u64(one.bytes().data() + 16) == iteration);
  }
}

TEST(requests, multicast_headers_set_every_byte) {
  std::vector<std::byte> bytes(wire::partial_multicast_request::data, std::byte{0xff});
  put_multicast_header(bytes.data(), 5);
  const std::uint32_t multicast[] = {2, 0, 45, 0, 0, 0, 2, 0, 5, 0};
  EXPECT_EQ(std::memcmp(bytes.data(), multicast, sizeof multicast), 0);
  static_assert(sizeof multicast == wire::multicast_request::data);
  std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
  put_fragment_header(bytes.data(), 1000, 10, wire::fragment_type::middle);
  const std::uint32_t fragment[] = {12, 0, 66, 0, 0, 0, 2, 0, 1000, 0, 10, 0, 2, 0};
  EXPECT_EQ(std::memcmp(bytes.data(), fragment, sizeof fragment), 0);
  static_assert(sizeof fragment == wire::partial_multicast_request::data);
}

TEST(requests, fragment_types_follow_from_the_offset) {
  EXPECT_EQ(fragment_type_of(0, 10, 25), wire::fragment_type::first);
  EXPECT_EQ(fragment_type_of(10, 10, 25), wire::fragment_type::middle);
  EXPECT_EQ(fragment_type_of(20, 5, 25), wire::fragment_type::last);
}

/// An answer of `size` bytes, 0xff except for its status.
std::vector<std::byte> raw_answer(std::size_t size, std::int32_t status) {
  std::vector<std::byte> bytes(size, std::byte{0xff});
  put(bytes.data() + wire::header_error, status);
  return bytes;
}

TEST(answers, have_a_value_only_with_status_ok_and_full_length) {
  EXPECT_EQ(decode_local_node(raw_answer(32, wire::status::ok)), 0xffffffffU);
  EXPECT_EQ(decode_local_node(raw_answer(32, wire::status::try_again)), std::nullopt);
  EXPECT_EQ(decode_local_node(raw_answer(24, wire::status::ok)), std::nullopt);
  EXPECT_EQ(decode_iteration(raw_answer(32, wire::status::ok)), ~std::uint64_t{0});
  EXPECT_EQ(decode_iteration(raw_answer(32, wire::status::no_memory)), std::nullopt);
  EXPECT_EQ(decode_iteration(raw_answer(24, wire::status::ok)), std::nullopt);
  EXPECT_FALSE(decode_iteration_row(raw_answer(168, wire::status::no_sections)));
  EXPECT_FALSE(decode_iteration_row(raw_answer(24, wire::status::ok)));
}

TEST(answers, clamp_a_name_length_to_the_name_field) {
  auto bytes = raw_answer(168, wire::status::ok);
  const auto row = decode_iteration_row(bytes);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->group.size(), wire::name_text_max);
  put(bytes.data() + 24, std::uint32_t{3});
  put(bytes.data() + 160, std::uint32_t{7});
  put(bytes.data() + 164, std::uint32_t{9});
  const auto other = decode_iteration_row(bytes);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->group.size(), 3U);
  EXPECT_EQ(other->who, (member_address{7, 9}));
}

RC_GTEST_PROP(answers, map_each_status_to_one_error, (std::int32_t any)) {
  for (std::int32_t status = -2; status < 110; ++status) {
    const errc code = errc_of_status(status);
    RC_ASSERT(static_cast<std::int32_t>(code) == status || code == errc::library);
  }
  RC_ASSERT(errc_of_status(any) == errc::library || wire::status::is_known(any));
  RC_ASSERT(errc_of_status(wire::status::ok) == errc::library);
}

TEST(answers, name_the_refused_request_and_the_code) {
  EXPECT_EQ(service_error(wire::status::exist, "to join group 'g'"), errc::exist);
  EXPECT_NE(service_error(29, "it").text.find("the service refused it: "), std::string::npos);
  EXPECT_NE(service_error(29, "it").text.find("(code 29)"), std::string::npos);
  EXPECT_TRUE(asks_for_a_retry(wire::status::try_again) && asks_for_a_retry(wire::status::busy));
  EXPECT_FALSE(asks_for_a_retry(wire::status::ok) || asks_for_a_retry(wire::status::interrupt));
}

}  // namespace
