// Control records: what was encoded is decoded, and foreign bytes are refused with the field named.
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "channel/control_codec.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::channel;

struct payload {
  std::uint16_t kind;
  std::vector<std::byte> bytes;
};

template <class Record>
std::vector<payload> encoded(const Record& one) {
  std::vector<payload> all;
  const record_sink keep = [&](std::uint16_t kind, std::span<const std::byte> bytes) {
    all.push_back({kind, {bytes.begin(), bytes.end()}});
  };
  if constexpr (std::is_same_v<Record, state_record>) {
    EXPECT_TRUE(encode(one, keep));
  } else {
    encode(one, keep);
  }
  return all;
}

rc::Gen<std::string> any_name() {
  return rc::gen::map(rc::gen::arbitrary<std::string>(),
                      [](std::string name) { return name.substr(0, pack::name_max); });
}

TEST(control_codec, a_hello_comes_back) {
  const hello_record one{{{1, 2}, 0x123456789ABCDEF0, 7}};
  const auto all = encoded(one);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].kind, pack::hello);
  EXPECT_EQ(all[0].bytes.size(), pack::hello_bytes);
  EXPECT_EQ(decode_hello(all[0].bytes).value(), one);
  EXPECT_EQ(decode_hello(std::span(all[0].bytes).first(20)).error(), errc::malformed);
}

RC_GTEST_PROP(control_codec, joins_come_back_in_as_many_records_as_needed, ()) {
  join_record one;
  one.first_operation = *rc::gen::inRange<std::uint64_t>(1, 1000);
  const auto names = *rc::gen::container<std::vector<std::string>>(any_name());
  for (int times = 0; times < 20; ++times) {
    for (const auto& name : names) {
      one.entries.push_back({static_cast<alias>(one.entries.size()), name});
    }
  }
  std::uint64_t next = one.first_operation;
  std::vector<join_record::entry> entries;
  for (const payload& each : encoded(one)) {
    RC_ASSERT(each.kind == pack::join);
    RC_ASSERT(each.bytes.size() <= pack::part_max);
    const auto back = decode_join(each.bytes);
    RC_ASSERT(back.has_value());
    RC_ASSERT(back->first_operation == next);
    next += back->entries.size();
    entries.insert(entries.end(), back->entries.begin(), back->entries.end());
  }
  RC_ASSERT(entries == one.entries);
}

TEST(control_codec, leaves_come_back) {
  leave_record one{5, {{0, reason::leave}, {alias_max, reason::process_down}}};
  const auto all = encoded(one);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(decode_leave(all[0].bytes).value(), one);
  EXPECT_EQ(decode_leave(std::span(all[0].bytes).first(10)).error(), errc::malformed);
  one.entries.resize(20000);
  std::size_t entries = 0;
  for (const payload& each : encoded(one)) {
    entries += decode_leave(each.bytes).value().entries.size();
  }
  EXPECT_EQ(entries, 20000U);
}

TEST(control_codec, operation_zero_is_refused) {
  const std::vector<std::byte> zero(8);
  EXPECT_EQ(decode_join(zero).error(), errc::malformed);
  EXPECT_EQ(decode_leave(zero).error(), errc::malformed);
}

TEST(control_codec, a_name_that_is_too_long_or_cut_off_is_refused) {
  for (const std::size_t length : {1U, 128U}) {
    auto bytes = encoded(join_record{1, {{0, std::string(length, 'n')}}}).at(0).bytes;
    ASSERT_TRUE(decode_join(bytes));
    for (std::size_t less = 1; less < 4; ++less) {
      EXPECT_FALSE(decode_join(std::span(bytes).first(bytes.size() - less))) << length << " " << less;
    }
    bytes[10] = std::byte{129};
    bytes.resize(bytes.size() + 256);
    EXPECT_FALSE(decode_join(bytes));
  }
}

TEST(control_codec, chunks_come_back_and_must_fit_their_message) {
  const auto decoded = [](const chunk_record& one, std::size_t size) {
    std::vector<std::byte> bytes(pack::chunk_bytes + size);
    encode(one, std::span(bytes).first<pack::chunk_bytes>());
    return decode_chunk(bytes);
  };
  using part = chunk_record::part;
  for (const auto& [one, size] :
       std::vector<std::pair<chunk_record, std::size_t>>{{{1, part::first, 9, 300, 0}, 100},
                                                         {{1, part::middle, 9, 300, 100}, 100},
                                                         {{1, part::last, 9, 300, 200}, 100}}) {
    EXPECT_EQ(decoded(one, size).value(), one);
  }
  EXPECT_FALSE(decoded({1, part::first, 9, 300, 1}, 100)) << "the first begins at 0";
  EXPECT_FALSE(decoded({1, part::middle, 9, 300, 0}, 100));
  EXPECT_FALSE(decoded({1, part::last, 9, 300, 100}, 100)) << "the last ends at the end";
  EXPECT_FALSE(decoded({1, part::middle, 9, 300, 200}, 100));
  EXPECT_FALSE(decoded({1, part::last, 9, 300, 250}, 100)) << "beyond the end";
  EXPECT_FALSE(decoded({1, part::last, 9, 300, UINT64_MAX}, 100));
  EXPECT_FALSE(decoded({1, static_cast<part>(3), 9, 300, 100}, 100));
  EXPECT_FALSE(decode_chunk({}));
}

state_record large_state(std::uint32_t channels, std::uint32_t processes) {
  state_record one;
  one.id = {{3, 4}, 99, 2};
  for (std::uint32_t i = 0; i < channels; ++i) {
    one.names.push_back("a name of twenty b" + std::to_string(i));
  }
  for (std::uint32_t i = 0; i < processes; ++i) {
    one.processes.push_back({{1, i}, i, channels, {{0, 0, channels}}});
  }
  return one;
}

TEST(control_codec, a_state_comes_back_from_its_parts) {
  const state_record one = large_state(4096, 64);
  const auto parts = encoded(one);
  EXPECT_GT(parts.size(), 3U);
  std::size_t bytes = 0;
  state_assembler assembler;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    EXPECT_EQ(parts[i].kind, pack::state);
    EXPECT_LE(parts[i].bytes.size(), pack::part_max);
    bytes += parts[i].bytes.size();
    const auto back = assembler.push({3, 4}, parts[i].bytes);
    ASSERT_TRUE(back) << back.error().message();
    ASSERT_EQ(back->has_value(), i + 1 == parts.size());
    if (*back) {
      EXPECT_EQ(**back, one);
    }
  }
  EXPECT_LT(bytes, 130000U) << "processes with the same channels add little";
  EXPECT_EQ(assembler.open(), 0U);
}

TEST(control_codec, an_empty_state_is_one_part) {
  const state_record one{{{1, 1}, 1, 1}, {}, {}};
  const auto parts = encoded(one);
  ASSERT_EQ(parts.size(), 1U);
  state_assembler assembler;
  EXPECT_EQ(assembler.push({1, 1}, parts[0].bytes).value().value(), one);
}

TEST(control_codec, parts_of_several_senders_are_kept_apart) {
  const auto a = encoded(large_state(4096, 1)), b = encoded(large_state(4096, 2));
  state_assembler assembler;
  for (std::size_t i = 0; i + 1 < a.size(); ++i) {
    EXPECT_FALSE(assembler.push({1, 1}, a[i].bytes).value());
    EXPECT_FALSE(assembler.push({2, 2}, b[i].bytes).value());
  }
  EXPECT_EQ(assembler.open(), 2U);
  EXPECT_EQ(assembler.push({1, 1}, a.back().bytes).value()->processes.size(), 1U);
  EXPECT_EQ(assembler.push({2, 2}, b.back().bytes).value()->processes.size(), 2U);
}

TEST(control_codec, parts_that_do_not_follow_are_refused) {
  const auto parts = encoded(large_state(4096, 1));
  state_assembler assembler;
  EXPECT_FALSE(assembler.push({1, 1}, parts[1].bytes).value()) << "its beginning was before this process";
  EXPECT_TRUE(assembler.push({1, 1}, parts[0].bytes));
  const auto skipped = assembler.push({1, 1}, parts[2].bytes);
  ASSERT_FALSE(skipped);
  EXPECT_EQ(skipped.error(), errc::malformed);
  EXPECT_EQ(assembler.open(), 0U);
  EXPECT_TRUE(assembler.push({1, 1}, parts[0].bytes));
  assembler.forget({1, 1});
  EXPECT_EQ(assembler.open(), 0U);
}

TEST(control_codec, a_state_that_is_too_large_is_refused_by_its_sender) {
  state_record one = large_state(1, 1);
  one.processes[0].runs.assign(pack::state_max / pack::run_bytes, {0, 0, 1});
  EXPECT_EQ(encode(one, [](auto, auto) { FAIL(); }).error(), errc::too_big);
}

RC_GTEST_PROP(control_codec, damaged_states_are_refused_or_decoded_whole, ()) {
  state_record one = large_state(*rc::gen::inRange(0U, 5U), *rc::gen::inRange(0U, 5U));
  auto parts = encoded(one);
  auto& bytes = parts.at(0).bytes;
  const auto at = *rc::gen::inRange<std::size_t>(pack::hello_bytes, bytes.size());
  bytes[at] ^= static_cast<std::byte>(*rc::gen::inRange(1, 256));
  state_assembler assembler;
  const auto back = assembler.push({3, 4}, bytes);
  if (!back) {
    RC_ASSERT(back.error().code == errc::malformed);
  } else if (*back) {
    RC_ASSERT((*back)->processes.size() == one.processes.size());
  }
}

}  // namespace
