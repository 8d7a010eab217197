// The drop-in returns only values of cs_error_t, and CS_OK only on success.
#include "compat/codes.hpp"

#include <cerrno>
#include <climits>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace {

using namespace cpgring;
using namespace cpgring::compat;

bool is_a_code(int value) { return (value >= 1 && value <= 28) || value == 30 || value == 100; }

TEST(codes, valid_service_codes_pass_through) {
  for (const int value : {1, 2, 6, 7, 8, 10, 12, 13, 14, 16, 19, 27, 28, 30, 100}) {
    EXPECT_EQ(static_cast<int>(code_of_service(value)), value);
  }
}

TEST(codes, invalid_service_codes_become_cs_err_library) {
  for (const int value :
       {0, -1, -13, 29, 31, 32, 99, 101, 256, 257, 1001, 65536, 65537, INT_MAX, INT_MIN, INT_MIN + 1}) {
    EXPECT_EQ(code_of_service(value), CS_ERR_LIBRARY) << value;
  }
}

RC_GTEST_PROP(codes, only_service_code_1_becomes_cs_ok, (int value)) {
  const auto code = code_of_service(value);
  RC_ASSERT(is_a_code(static_cast<int>(code)));
  RC_ASSERT((code == CS_OK) == (value == 1));
}

RC_GTEST_PROP(codes, no_error_becomes_cs_ok, (int value)) {
  for (const auto* category : {&error_category(), &std::system_category(), &std::generic_category()}) {
    const auto code = code_of(error(std::error_code(value, *category), "any"));
    RC_ASSERT(is_a_code(static_cast<int>(code)) && code != CS_OK);
  }
}

TEST(codes, no_error_with_a_small_number_becomes_cs_ok) {
  for (int value = -3; value <= 3; ++value) {
    EXPECT_NE(code_of(error(std::error_code(value, error_category()), "any")), CS_OK) << value;
    EXPECT_NE(code_of(error(std::error_code(value, std::system_category()), "any")), CS_OK) << value;
  }
}

TEST(codes, own_errors_have_their_codes) {
  EXPECT_EQ(code_of(error(errc::access)), CS_ERR_ACCESS);
  EXPECT_EQ(code_of(error(errc::malformed)), CS_ERR_LIBRARY);
  EXPECT_EQ(code_of(error(errc::service_not_ready)), CS_ERR_TRY_AGAIN);
  EXPECT_EQ(code_of(error(std::error_code(ENOENT, std::system_category()), "any")), CS_ERR_NOT_EXIST);
}

}  // namespace
