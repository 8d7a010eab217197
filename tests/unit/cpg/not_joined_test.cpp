// The error of a multicast on a handle that is in no group.
#include "cpg/not_joined.hpp"

#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using namespace cpgring;
using ::testing::HasSubstr;

TEST(not_joined, names_the_reason_in_each_state) {
  const std::pair<handle_state, const char*> cases[] = {
      {handle_state::connecting, "still connecting"}, {handle_state::ready, "in no group"},
      {handle_state::joining, "under way"},           {handle_state::leaving, "leaving its group"},
      {handle_state::left, "has left its group"},
  };
  for (const auto& [state, text] : cases) {
    const failure refused = cpg::not_joined(state);
    EXPECT_EQ(refused.why, errc::not_joined);
    EXPECT_THAT(refused.why.message(), HasSubstr(text));
  }
}

TEST(not_joined, names_an_engine_that_nobody_drives) {
  EXPECT_EQ(cpg::not_driven().why, errc::not_joined);
  EXPECT_THAT(cpg::not_driven().why.message(), HasSubstr("nobody drives the engine"));
}

}  // namespace
