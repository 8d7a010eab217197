// Answers written by libqb are matched with the expected requests.
#include "ipc/response_reader.hpp"

#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include "unit/ipc/qb_ring.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

std::string reply(std::int32_t id, std::uint32_t size, std::int32_t code = 1, std::int64_t said = -1) {
  std::string bytes(size, '\xEE');
  const auto put = [&](std::size_t at, std::int32_t value) {
    if (at + 4 <= bytes.size()) {
      std::memcpy(bytes.data() + at, &value, sizeof value);
    }
  };
  put(0, id);
  put(8, said < 0 ? static_cast<std::int32_t>(size) : static_cast<std::int32_t>(said));
  put(16, code);
  return bytes;
}

struct response_reader_on_qb : ::testing::Test {
  qb_ring qb{16384};
  shared_ring shared = qb.open_ours();
  ring_reader ring{shared, "response ring"};
  response_reader answers{ring};
  answer got;

  void expect_broken(const std::string& field) {
    ASSERT_EQ(answers.next(got), read_result::broken);
    EXPECT_EQ(answers.fault(), errc::malformed);
    EXPECT_NE(answers.fault().text.find(field), std::string::npos) << answers.fault().text;
    EXPECT_EQ(answers.next(got), read_result::broken);
  }
};

TEST_F(response_reader_on_qb, hands_out_answers_in_the_order_of_the_requests) {
  answers.expect(7, 32, 100);
  answers.expect(3, 9248, 200);
  EXPECT_EQ(answers.expecting(), 2U);
  EXPECT_EQ(answers.next(got), read_result::empty);
  ASSERT_TRUE(qb.write(reply(7, 32)));
  ASSERT_TRUE(qb.write(reply(3, 9248)));
  ASSERT_EQ(answers.next(got), read_result::frame);
  EXPECT_EQ(got.token, 100U);
  EXPECT_EQ(got.error, 1);
  EXPECT_EQ(text(got.bytes), reply(7, 32));
  ASSERT_EQ(answers.next(got), read_result::frame);
  EXPECT_EQ(got.token, 200U);
  EXPECT_EQ(text(got.bytes), reply(3, 9248));
  EXPECT_EQ(answers.expecting(), 0U);
  EXPECT_EQ(answers.next(got), read_result::empty);
  EXPECT_EQ(qb_rb_space_used(qb.get()), 0);
}

TEST_F(response_reader_on_qb, accepts_a_bare_error_instead_of_a_longer_answer) {
  answers.expect(3, 9248, 1);
  ASSERT_TRUE(qb.write(reply(0, 24, 6)));
  ASSERT_EQ(answers.next(got), read_result::frame);
  EXPECT_EQ(got.token, 1U);
  EXPECT_EQ(got.error, 6);
  answers.expect(1, 24, 2);
  ASSERT_TRUE(qb.write(reply(0, 24, 7)));
  ASSERT_EQ(answers.next(got), read_result::frame);
  EXPECT_EQ(got.token, 2U);
  EXPECT_EQ(got.error, 7);
}

TEST_F(response_reader_on_qb, refuses_a_bare_answer_without_an_error) {
  answers.expect(3, 9248, 1);
  ASSERT_TRUE(qb.write(reply(3, 24, 1)));
  expect_broken("the length of the chunk is 24, allowed is 9248");
}

TEST_F(response_reader_on_qb, refuses_a_bare_error_to_another_request) {
  answers.expect(3, 9248, 1);
  ASSERT_TRUE(qb.write(reply(7, 24, 6)));
  expect_broken("the id is 7, allowed is 3");
}

TEST_F(response_reader_on_qb, refuses_a_wrong_id) {
  answers.expect(3, 32, 1);
  ASSERT_TRUE(qb.write(reply(7, 32)));
  expect_broken("the id is 7, allowed is 3");
}

TEST_F(response_reader_on_qb, refuses_an_answer_without_a_request) {
  ASSERT_TRUE(qb.write(reply(7, 32)));
  expect_broken("the number of answers beyond the requests is 1");
}

TEST_F(response_reader_on_qb, refuses_a_wrong_length) {
  answers.expect(7, 32, 1);
  ASSERT_TRUE(qb.write(reply(7, 36)));
  expect_broken("the length of the chunk is 36, allowed is 32");
}

TEST_F(response_reader_on_qb, refuses_an_answer_shorter_than_a_header) {
  answers.expect(7, 32, 1);
  ASSERT_TRUE(qb.write(reply(7, 23)));
  expect_broken("the length of the chunk is 23, allowed is 24");
}

TEST_F(response_reader_on_qb, refuses_a_header_that_disagrees_with_its_chunk) {
  answers.expect(7, 32, 1);
  ASSERT_TRUE(qb.write(reply(7, 32, 1, 40)));
  expect_broken("the size in the header is 40, allowed is 32");
}

TEST_F(response_reader_on_qb, reports_a_fault_of_the_ring) {
  answers.expect(7, 32, 1);
  ASSERT_TRUE(qb.write(reply(7, 32)));
  *shared.word(1) = 5;
  expect_broken("response ring: the magic of a chunk is 5");
}

TEST_F(response_reader_on_qb, has_room_only_for_answers_that_libqb_can_write) {
  // A ring for messages of 16 KiB (its size is 20 KiB) holds two membership answers of 9248 bytes, not three.
  EXPECT_TRUE(answers.room_for(9248));
  answers.expect(3, 9248, 1);
  EXPECT_TRUE(answers.room_for(9248));
  answers.expect(3, 9248, 2);
  EXPECT_FALSE(answers.room_for(9248));
  EXPECT_TRUE(answers.room_for(32));
  std::uint64_t token = 2;
  while (answers.room_for(32)) {
    answers.expect(7, 32, ++token);
  }
  ASSERT_TRUE(qb.write(reply(3, 9248)));
  ASSERT_TRUE(qb.write(reply(3, 9248)));
  for (std::uint64_t i = 2; i < token; ++i) {
    ASSERT_TRUE(qb.write(reply(7, 32))) << i;
  }
  // An answer handed out but not yet reclaimed still takes room.
  ASSERT_EQ(answers.next(got), read_result::frame);
  EXPECT_FALSE(answers.room_for(9248));
  while (answers.next(got) == read_result::frame) {
  }
  EXPECT_EQ(got.token, token);
  EXPECT_TRUE(answers.room_for(9248));
}

}  // namespace
