// Numbers of the command line.
#include "cli/numbers.hpp"

#include <string>

#include <gtest/gtest.h>

namespace cpgring::cli {
namespace {

/// The value that the option gets, or the error text for the user.
std::string after(const CLI::Validator& validator, std::string text) {
  const auto refusal = validator(text);
  return refusal.empty() ? text : refusal;
}

TEST(numbers, are_decimal_digits_within_their_range) {
  const auto any = whole_number(0);
  EXPECT_EQ(after(any, "0"), "0");
  EXPECT_EQ(after(any, "18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(after(any, "010"), "10") << "not octal";
  for (const char* wrong :
       {"-5", "+5", "", " 5", "5 ", "5.0", "1e3", "0x10", "five", "18446744073709551616"}) {
    EXPECT_EQ(after(any, wrong),
              "'" + std::string(wrong) + "' is not allowed, it must be a whole number, 0 or more");
  }
  const auto few = whole_number(1, 64);
  EXPECT_EQ(after(few, "64"), "64");
  EXPECT_EQ(after(few, "65"), "'65' is not allowed, it must be a whole number, 1 to 64");
  EXPECT_EQ(after(few, "0"), "'0' is not allowed, it must be a whole number, 1 to 64");
}

TEST(numbers, refused_texts_are_shortened_and_printable) {
  const auto text = after(whole_number(0), std::string(5000, '\x1b'));
  EXPECT_LT(text.size(), 300U);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(numbers, byte_counts_accept_units) {
  const auto any = byte_count(0);
  EXPECT_EQ(after(any, "4096"), "4096");
  EXPECT_EQ(after(any, "64K"), "65536");
  EXPECT_EQ(after(any, "64kib"), "65536");
  EXPECT_EQ(after(any, "16mb"), "16777216");
  EXPECT_EQ(after(any, "1G"), "1073741824");
  EXPECT_EQ(after(any, "7b"), "7");
  for (const char* wrong : {"-5K", "K", "1.5M", "1 M", "1KK", "20000000T", "1x"}) {
    EXPECT_NE(after(any, wrong).find("must be a number of bytes as in 4096, 64K or 16M, 0 or more"),
              std::string::npos)
        << wrong;
  }
  EXPECT_NE(after(byte_count(4096, 32 << 20), "64M").find(", 4K to 32M"), std::string::npos);
}

TEST(numbers, real_numbers_must_be_finite) {
  const auto rate = real_number(1, 1e8);
  EXPECT_EQ(after(rate, "2.5"), "2.5");
  for (const char* wrong : {"0.5", "-1", "nan", "inf", "1e400", "2x", ""}) {
    EXPECT_EQ(after(rate, wrong),
              "'" + std::string(wrong) + "' is not allowed, it must be a number, 1 to 100000000")
        << wrong;
  }
}

TEST(numbers, ranges_have_texts) {
  EXPECT_EQ(range_text(1, no_limit), "1 or more");
  EXPECT_EQ(range_text(0, 64), "0 to 64");
  EXPECT_EQ(byte_range_text(100, std::uint64_t{3} << 30), "100 to 3G");
  EXPECT_EQ(byte_range_text(0, no_limit), "0 or more");
}

}  // namespace
}  // namespace cpgring::cli
