// What a caller sees of an error that a constructor throws.
#include "base/throw_error.hpp"

#include <system_error>

#include <gtest/gtest.h>

namespace {

using namespace cpgring;

TEST(throw_error, the_text_is_the_error_s_alone) {
  try {
    base::throw_error({errc::exist, "the service name 'x' is taken"});
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), make_error_code(errc::exist));
    EXPECT_STREQ(e.what(), "the service name 'x' is taken");
    return;
  }
  FAIL();
}

TEST(throw_error, without_a_text_the_code_speaks) {
  try {
    base::throw_error(error(errc::no_memory));
  } catch (const std::system_error& e) {
    EXPECT_STREQ(e.what(), "out of memory");
    return;
  }
  FAIL();
}

}  // namespace
