#include "cli/inject_option.hpp"

#include <gmock/gmock.h>

namespace cpgring::cli {
namespace {

using cpgring::testing::service_faults;
using ::testing::HasSubstr;

TEST(inject_option, sets_one_kind_and_keeps_the_others) {
  service_faults f;
  ASSERT_TRUE(parse_fault("torn-frame=0.25", f));
  ASSERT_TRUE(parse_fault("late-doorbell=1:50", f));
  ASSERT_TRUE(parse_fault("try-again=1e-3:200", f));
  ASSERT_TRUE(parse_fault("stall=0.5:7", f));
  ASSERT_TRUE(parse_fault("crowd=0.1:300", f));
  ASSERT_TRUE(parse_fault("hang-up-receiver=0", f));
  EXPECT_EQ(f.torn_frame.probability, 0.25);
  EXPECT_EQ(f.lying_frame.probability, 0);
  EXPECT_EQ(f.late_doorbell.probability, 1);
  EXPECT_EQ(f.late_doorbell_max.count(), 50);
  EXPECT_EQ(f.try_again.probability, 1e-3);
  EXPECT_EQ(f.try_again_for.count(), 200);
  EXPECT_EQ(f.stall_for.count(), 7);
  EXPECT_EQ(f.crowd_members, 300U);
  EXPECT_TRUE(f.validate());
}

struct nonsense {
  const char* text;
  const char* reason;
};
void PrintTo(const nonsense& n, std::ostream* os) { *os << n.text; }

class inject_option_refuses : public ::testing::TestWithParam<nonsense> {};

TEST_P(inject_option_refuses, nonsense_and_names_the_mistake) {
  service_faults f;
  const auto refused = parse_fault(GetParam().text, f);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::invalid_param);
  EXPECT_THAT(refused.error().message(), HasSubstr(GetParam().reason));
  EXPECT_TRUE(f.none()) << "unchanged";
}

INSTANTIATE_TEST_SUITE_P(
    texts, inject_option_refuses,
    ::testing::Values(nonsense{"torn=0.1", "no fault 'torn'; there are torn-frame, lying-frame"},
                      nonsense{"", "no fault ''"}, nonsense{"stall", "lacks its rate"},
                      nonsense{"stall=", "the rate of stall is ''"},
                      nonsense{"stall=x", "the rate of stall is 'x'"},
                      nonsense{"stall=1.5", "it must be 0 to 1"}, nonsense{"stall=nan", "it must be 0 to 1"},
                      nonsense{"hang-up=0.1:5", "takes nothing after its rate"},
                      nonsense{"stall=0.1:", "a whole number (ms)"},
                      nonsense{"stall=0.1:-4", "a whole number"},
                      nonsense{"crowd=0.1:5000", "crowd_members is 5000"}));

}  // namespace
}  // namespace cpgring::cli
