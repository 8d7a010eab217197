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

std::string text(std::span<std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(fragment_assembler, joins_first_middle_and_last) {
  fragment_assembler a(100, 200);
  std::string one = "abc", two = "de", three = "f";
  EXPECT_FALSE(a.push(part(one, 1, 6, fragment_type::first)).message);
  EXPECT_FALSE(a.push(part(two, 1, 6, fragment_type::middle)).message);
  auto done = a.push(part(three, 1, 6, fragment_type::last));
  ASSERT_TRUE(done.message);
  EXPECT_EQ(text(*done.message), "abcdef");
  EXPECT_EQ(a.bytes_held(), 0U);
}

TEST(fragment_assembler, ignores_fragments_without_their_first) {
  fragment_assembler a(100, 200);
  std::string piece = "xyz";
  EXPECT_TRUE(a.push(part(piece, 1, 6, fragment_type::middle)).given_up.empty());
  EXPECT_FALSE(a.push(part(piece, 1, 6, fragment_type::last)).message);
}

TEST(fragment_assembler, aborts_the_unfinished_message_when_its_sender_starts_another) {
  fragment_assembler a(100, 200);
  std::string piece = "xyz";
  a.push(part(piece, 1, 6, fragment_type::first));
  auto again = a.push(part(piece, 1, 6, fragment_type::first));
  ASSERT_EQ(again.given_up.size(), 1U);
  EXPECT_EQ(again.given_up.at(0).received, 3U);
  EXPECT_EQ(again.given_up.at(0).cause, errc::interrupt);
  auto done = a.push(part(piece, 1, 6, fragment_type::last));
  ASSERT_TRUE(done.message);
  EXPECT_EQ(text(*done.message), "xyzxyz");
}

TEST(fragment_assembler, aborts_when_the_sender_leaves) {
  fragment_assembler a(100, 200);
  std::string piece = "xyz";
  a.push(part(piece, 9, 6, fragment_type::first));
  EXPECT_FALSE(a.left(1, 8));
  auto gone = a.left(1, 9);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->pid, 9U);
  EXPECT_EQ(a.open(), 0U);
}

TEST(fragment_assembler, refuses_an_announced_size_above_the_limit_without_allocating) {
  fragment_assembler a(10, 20);
  std::string piece = "xyz";
  auto out = a.push(part(piece, 1, 11, fragment_type::first));
  ASSERT_EQ(out.given_up.size(), 1U);
  EXPECT_EQ(out.given_up.at(0).cause, errc::too_big);
  EXPECT_EQ(a.bytes_held(), 0U);
  EXPECT_FALSE(a.push(part(piece, 1, 11, fragment_type::last)).message);
}

TEST(fragment_assembler, refuses_more_bytes_than_announced_and_fewer) {
  fragment_assembler a(100, 200);
  std::string piece = "xyz";
  a.push(part(piece, 1, 4, fragment_type::first));
  auto more = a.push(part(piece, 1, 4, fragment_type::middle));
  ASSERT_EQ(more.given_up.size(), 1U);
  EXPECT_EQ(more.given_up.at(0).cause, errc::malformed);
  a.push(part(piece, 1, 9, fragment_type::first));
  auto fewer = a.push(part(piece, 1, 9, fragment_type::last));
  ASSERT_EQ(fewer.given_up.size(), 1U);
  EXPECT_EQ(fewer.given_up.at(0).cause, errc::malformed);
}

TEST(fragment_assembler, bounds_the_bytes_of_all_unfinished_messages) {
  fragment_assembler a(10, 20);
  std::string piece(8, 'x');
  std::size_t given_up = 0;
  for (std::uint32_t pid = 1; pid <= 100; ++pid) {
    given_up += a.push(part(piece, pid, 10, fragment_type::first)).given_up.size();
    ASSERT_LE(a.bytes_held(), 20U);
  }
  EXPECT_EQ(given_up, 98U);
}

TEST(fragment_assembler, memory_grows_with_received_not_announced_bytes) {
  fragment_assembler a(std::size_t{1} << 30, std::size_t{1} << 31);
  std::string piece(1000, 'x');
  a.push(part(piece, 1, 1 << 30, fragment_type::first));
  EXPECT_EQ(a.bytes_held(), 1000U);
  for (int i = 0; i < 20; ++i) {
    a.push(part(piece, 1, 1 << 30, fragment_type::middle));
    EXPECT_LE(a.bytes_held(), 2000U * static_cast<std::size_t>(i + 2));
  }
}

TEST(fragment_assembler, memory_never_exceeds_the_announced_size) {
  fragment_assembler a(100, 100);
  std::string piece(30, 'x');
  a.push(part(piece, 1, 100, fragment_type::first));
  a.push(part(piece, 1, 100, fragment_type::middle));
  a.push(part(piece, 1, 100, fragment_type::middle));
  EXPECT_LE(a.bytes_held(), 100U);
  std::string rest(10, 'y');
  auto done = a.push(part(rest, 1, 100, fragment_type::last));
  ASSERT_TRUE(done.message) << "doubling the buffer would exceed the limit";
  EXPECT_EQ(done.message->size(), 100U);
}

TEST(fragment_assembler, keeps_the_first_open_max_of_too_many_active_senders) {
  constexpr std::uint32_t senders = fragment_assembler::open_max + 44;
  fragment_assembler a(100, 1 << 20);
  std::string piece = "x";
  std::size_t refused = 0, complete = 0;
  for (const auto type : {fragment_type::first, fragment_type::middle, fragment_type::last}) {
    for (std::uint32_t pid = 1; pid <= senders; ++pid) {
      const auto out = a.push(part(piece, pid, 3, type));
      complete += out.message ? 1U : 0U;
      for (const auto& one : out.given_up) {
        EXPECT_EQ(one.pid, pid);
        EXPECT_EQ(one.cause, errc::no_memory);
        ++refused;
      }
      ASSERT_LE(a.open(), fragment_assembler::open_max);
    }
  }
  EXPECT_EQ(refused, 44U);
  EXPECT_EQ(complete, fragment_assembler::open_max);
  EXPECT_EQ(a.bytes_held(), 0U);
}

TEST(fragment_assembler, aborts_the_longest_stalled_message_and_no_active_one) {
  fragment_assembler a(100000, 1 << 20);
  std::string piece = "x";
  a.push(part(piece, 7, 100000, fragment_type::first));
  for (std::uint32_t pid = 1000; pid < 1000 + fragment_assembler::open_max - 1; ++pid) {
    EXPECT_TRUE(a.push(part(piece, pid, 100, fragment_type::first)).given_up.empty());
  }
  ASSERT_EQ(a.open(), fragment_assembler::open_max);
  for (std::uint64_t i = 0; i < fragment_assembler::stalled_after; ++i) {
    EXPECT_TRUE(a.push(part(piece, 7, 100000, fragment_type::middle)).given_up.empty());
  }
  for (std::uint32_t pid = 5000; pid < 5000 + fragment_assembler::open_max - 1; ++pid) {
    const auto out = a.push(part(piece, pid, 100, fragment_type::first));
    ASSERT_EQ(out.given_up.size(), 1U);
    EXPECT_EQ(out.given_up.at(0).pid, pid - 4000) << "the message stalled longest";
  }
  const auto none = a.push(part(piece, 9999, 100, fragment_type::first));
  ASSERT_EQ(none.given_up.size(), 1U);
  EXPECT_EQ(none.given_up.at(0).pid, 9999U) << "no message is stalled";
}

TEST(fragment_assembler, frees_the_bytes_of_a_stalled_message_for_another) {
  fragment_assembler a(1000, 1500);
  std::string large(900, 'x'), piece = "x";
  a.push(part(large, 1, 1000, fragment_type::first));
  const auto out = a.push(part(large, 2, 1000, fragment_type::first));
  ASSERT_EQ(out.given_up.size(), 1U);
  EXPECT_EQ(out.given_up.at(0).pid, 2U) << "the message before it is active";
  for (std::uint64_t i = 0; i < fragment_assembler::stalled_after; ++i) {
    a.push(part(piece, 3, 1, fragment_type::last));
  }
  const auto then = a.push(part(large, 2, 1000, fragment_type::first));
  ASSERT_EQ(then.given_up.size(), 1U);
  EXPECT_EQ(then.given_up.at(0).pid, 1U);
  EXPECT_EQ(then.given_up.at(0).received, 900U);
}

RC_GTEST_PROP(fragment_assembler, interleaved_senders_yield_their_own_messages, ()) {
  const auto senders = *rc::gen::inRange<std::uint32_t>(1, 5);
  fragment_assembler a(1 << 20, 2 << 20);
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
  const auto order =
      *rc::gen::container<std::vector<std::uint32_t>>(turns.size(), rc::gen::arbitrary<std::uint32_t>());
  std::vector<std::size_t> index(turns.size());
  for (std::size_t i = 0; i < index.size(); ++i)
    index[i] = i;
  std::stable_sort(index.begin(), index.end(),
                   [&](std::size_t x, std::size_t y) { return order[x] < order[y]; });
  std::map<std::uint32_t, std::size_t> next;
  std::size_t complete = 0;
  for (const std::size_t i : index) {
    const std::uint32_t pid = turns[i];
    const std::size_t n = next[pid]++;
    const auto type = n == 0 ? fragment_type::first : n == 2 ? fragment_type::last : fragment_type::middle;
    auto out = a.push(part(parts[pid][n], pid, whole[pid].size(), type));
    RC_ASSERT(out.given_up.empty());
    if (out.message) {
      RC_ASSERT(text(*out.message) == whole[pid]);
      ++complete;
    }
  }
  RC_ASSERT(complete == senders);
  RC_ASSERT(a.bytes_held() == 0U);
}

}  // namespace
