#include "cpg/fragment_assembler.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace {

using namespace cpgring;
using namespace cpgring::cpg;
using wire::fragment_type;

fragment part(std::string& bytes, std::uint32_t pid, std::size_t total, fragment_type type) {
  return {reinterpret_cast<std::byte*>(bytes.data()),
          static_cast<std::uint32_t>(bytes.size()),
          1,
          pid,
          static_cast<std::uint32_t>(total),
          type};
}

std::string text(std::span<std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

TEST(fragment_assembler, joins_first_middle_and_last) {
  fragment_assembler a(100);
  std::string one = "abc", two = "de", three = "f";
  EXPECT_FALSE(a.push(part(one, 1, 6, fragment_type::first)).message);
  EXPECT_FALSE(a.push(part(two, 1, 6, fragment_type::middle)).message);
  auto done = a.push(part(three, 1, 6, fragment_type::last));
  ASSERT_TRUE(done.message);
  EXPECT_EQ(text(*done.message), "abcdef");
  EXPECT_EQ(a.bytes_held(), 0U);
}

TEST(fragment_assembler, ignores_the_rest_of_a_message_whose_start_it_missed) {
  fragment_assembler a(100);
  std::string piece = "xyz";
  EXPECT_FALSE(a.push(part(piece, 1, 6, fragment_type::middle)).given_up);
  EXPECT_FALSE(a.push(part(piece, 1, 6, fragment_type::last)).message);
}

TEST(fragment_assembler, gives_up_the_old_one_when_the_sender_starts_again) {
  fragment_assembler a(100);
  std::string piece = "xyz";
  a.push(part(piece, 1, 6, fragment_type::first));
  auto again = a.push(part(piece, 1, 6, fragment_type::first));
  ASSERT_TRUE(again.given_up);
  EXPECT_EQ(again.given_up->received, 3U);
  EXPECT_EQ(again.given_up->cause, errc::interrupt);
  auto done = a.push(part(piece, 1, 6, fragment_type::last));
  ASSERT_TRUE(done.message);
  EXPECT_EQ(text(*done.message), "xyzxyz");
}

TEST(fragment_assembler, gives_up_when_the_sender_leaves) {
  fragment_assembler a(100);
  std::string piece = "xyz";
  a.push(part(piece, 9, 6, fragment_type::first));
  EXPECT_FALSE(a.left(1, 8));
  auto gone = a.left(1, 9);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->pid, 9U);
  EXPECT_EQ(a.open(), 0U);
}

TEST(fragment_assembler, refuses_what_is_announced_above_the_limit_without_holding_a_byte) {
  fragment_assembler a(10);
  std::string piece = "xyz";
  auto out = a.push(part(piece, 1, 11, fragment_type::first));
  ASSERT_TRUE(out.given_up);
  EXPECT_EQ(out.given_up->cause, errc::too_big);
  EXPECT_EQ(a.bytes_held(), 0U);
  EXPECT_FALSE(a.push(part(piece, 1, 11, fragment_type::last)).message);
}

TEST(fragment_assembler, refuses_more_bytes_than_announced_and_fewer) {
  fragment_assembler a(100);
  std::string piece = "xyz";
  a.push(part(piece, 1, 4, fragment_type::first));
  auto more = a.push(part(piece, 1, 4, fragment_type::middle));
  ASSERT_TRUE(more.given_up);
  EXPECT_EQ(more.given_up->cause, errc::malformed);
  a.push(part(piece, 1, 9, fragment_type::first));
  auto fewer = a.push(part(piece, 1, 9, fragment_type::last));
  ASSERT_TRUE(fewer.given_up);
  EXPECT_EQ(fewer.given_up->cause, errc::malformed);
}

TEST(fragment_assembler, bounds_what_many_senders_leave_unfinished) {
  fragment_assembler a(10);
  std::string piece(8, 'x');
  std::size_t given_up = 0;
  for (std::uint32_t pid = 1; pid <= 100; ++pid) {
    given_up += a.push(part(piece, pid, 10, fragment_type::first)).given_up ? 1U : 0U;
    ASSERT_LE(a.bytes_held(), 20U);
  }
  EXPECT_EQ(given_up, 98U);
}

RC_GTEST_PROP(fragment_assembler, interleaved_senders_get_their_own_bytes_back, ()) {
  const auto senders = *rc::gen::inRange<std::uint32_t>(1, 5);
  fragment_assembler a(1 << 20);
  std::map<std::uint32_t, std::string> whole;
  std::map<std::uint32_t, std::vector<std::string>> parts;
  for (std::uint32_t pid = 1; pid <= senders; ++pid) {
    parts[pid] = *rc::gen::container<std::vector<std::string>>(3, rc::gen::string<std::string>());
    for (const auto& p : parts[pid]) {
      whole[pid] += p;
    }
  }
  std::vector<std::uint32_t> turns;
  for (std::uint32_t pid = 1; pid <= senders; ++pid) {
    turns.insert(turns.end(), 3, pid);
  }
  const auto order = *rc::gen::container<std::vector<std::uint32_t>>(turns.size(), rc::gen::arbitrary<std::uint32_t>());
  std::vector<std::size_t> index(turns.size());
  for (std::size_t i = 0; i < index.size(); ++i)
    index[i] = i;
  std::stable_sort(index.begin(), index.end(), [&](std::size_t x, std::size_t y) { return order[x] < order[y]; });
  std::map<std::uint32_t, std::size_t> next;
  std::size_t complete = 0;
  for (const std::size_t i : index) {
    const std::uint32_t pid = turns[i];
    const std::size_t n = next[pid]++;
    const auto type = n == 0 ? fragment_type::first : n == 2 ? fragment_type::last : fragment_type::middle;
    auto out = a.push(part(parts[pid][n], pid, whole[pid].size(), type));
    RC_ASSERT(!out.given_up);
    if (out.message) {
      RC_ASSERT(text(*out.message) == whole[pid]);
      ++complete;
    }
  }
  RC_ASSERT(complete == senders);
  RC_ASSERT(a.bytes_held() == 0U);
}

}  // namespace
