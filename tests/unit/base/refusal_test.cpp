// The error text of a refused field.
#include "base/refusal.hpp"

#include <gtest/gtest.h>

namespace {

using cpgring::base::refusal;

std::string text_of(const refusal& what) { return what.to_error("an answer:").text; }

TEST(refusal, names_the_field_its_value_and_the_allowed_range) {
  EXPECT_EQ(text_of({"the id", 5, 7, 7}), "an answer: the id is 5, allowed is 7; this connection ended");
  EXPECT_EQ(text_of({"the id", 5, 7, 9}), "an answer: the id is 5, allowed is 7 to 9; this connection ended");
  EXPECT_EQ(text_of({"the id", 5, 7, refusal::no_limit}),
            "an answer: the id is 5, allowed is 7 or more; this connection ended");
  EXPECT_EQ(text_of({"the id", 5, 7, 3}),
            "an answer: the id is 5, allowed is 7 or more, or at most 3; this connection ended");
  EXPECT_EQ(refusal({"the id", 5, 7, 7}).to_error("an answer:"), cpgring::errc::malformed);
}

TEST(refusal, writes_large_numbers_in_hexadecimal) {
  EXPECT_EQ(text_of({"the magic", 0xD0D0D0D0, 0xA1A1A1A1, 0xA1A1A1A1}),
            "an answer: the magic is 0xd0d0d0d0, allowed is 0xa1a1a1a1; this connection ended");
}

TEST(refusal, converts_to_true_only_with_a_field) {
  EXPECT_FALSE(refusal());
  EXPECT_TRUE(refusal({"the id", 0, 0, 0}));
}

}  // namespace
