#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>
#include <cpgring/testing.hpp>

#include "testing/injector.hpp"

namespace cpgring::testing {
namespace {

using ::testing::HasSubstr;

TEST(service_faults, are_none_by_default) {
  const service_faults nothing;
  EXPECT_TRUE(nothing.none());
  EXPECT_TRUE(nothing.validate());
  service_faults f;
  f.hang_up_receiver = {0.001};
  EXPECT_FALSE(f.none());
  EXPECT_TRUE(f.validate());
}

struct wrong_field {
  const char* name;
  void (*set)(service_faults&);
};
void PrintTo(const wrong_field& w, std::ostream* os) { *os << w.name; }

class service_faults_validate : public ::testing::TestWithParam<wrong_field> {};

TEST_P(service_faults_validate, names_the_field_out_of_range) {
  service_faults f;
  GetParam().set(f);
  const auto refused = f.validate();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::invalid_param);
  EXPECT_THAT(refused.error().message(), HasSubstr(std::string(GetParam().name) + " is "));
}

INSTANTIATE_TEST_SUITE_P(
    fields, service_faults_validate,
    ::testing::Values(
        wrong_field{"torn_frame.probability", [](auto& f) { f.torn_frame = {-0.1}; }},
        wrong_field{"lying_frame.probability", [](auto& f) { f.lying_frame = {1.1}; }},
        wrong_field{"late_doorbell.probability", [](auto& f) { f.late_doorbell = {std::nan("")}; }},
        wrong_field{"try_again.probability", [](auto& f) { f.try_again = {2}; }},
        wrong_field{"stall.probability",
                    [](auto& f) { f.stall = {std::numeric_limits<double>::infinity()}; }},
        wrong_field{"crowd.probability", [](auto& f) { f.crowd = {-1}; }},
        wrong_field{"hang_up.probability", [](auto& f) { f.hang_up = {5}; }},
        wrong_field{"hang_up_sender.probability", [](auto& f) { f.hang_up_sender = {5}; }},
        wrong_field{"hang_up_receiver.probability", [](auto& f) { f.hang_up_receiver = {5}; }},
        wrong_field{"late_doorbell_max", [](auto& f) { f.late_doorbell_max = std::chrono::milliseconds(0); }},
        wrong_field{"try_again_for", [](auto& f) { f.try_again_for = std::chrono::milliseconds(-1); }},
        wrong_field{"stall_for", [](auto& f) { f.stall_for = std::chrono::milliseconds(60001); }},
        wrong_field{"crowd_members", [](auto& f) { f.crowd_members = 0; }},
        wrong_field{"crowd_members", [](auto& f) { f.crowd_members = 1001; }}));

std::vector<bool> choices_of(injector& from, fault kind, std::uint64_t client, std::size_t count) {
  fault_occasions of;
  of.client = client;
  std::vector<bool> all;
  for (std::size_t i = 0; i < count; ++i) {
    all.push_back(from.strikes(kind, of).has_value());
  }
  return all;
}

RC_GTEST_PROP(injector, choices_are_independent_of_other_clients_and_kinds,
              (std::uint64_t seed, std::uint64_t client)) {
  service_faults f;
  f.seed = seed;
  f.torn_frame = {0.5};
  f.hang_up = {0.5};
  injector alone(f), busy(f);
  static_cast<void>(choices_of(busy, fault::hang_up, client, 7));
  static_cast<void>(choices_of(busy, fault::torn_frame, client + 1, 9));
  RC_ASSERT(choices_of(alone, fault::torn_frame, client, 100) ==
            choices_of(busy, fault::torn_frame, client, 100));
}

TEST(injector, choices_differ_by_seed_client_and_kind) {
  service_faults f;
  f.torn_frame = f.lying_frame = {0.5};
  injector one(f);
  const auto first = choices_of(one, fault::torn_frame, 1, 64);
  EXPECT_NE(first, choices_of(one, fault::torn_frame, 2, 64));
  EXPECT_NE(first, choices_of(one, fault::lying_frame, 1, 64));
  f.seed = 2;
  injector other(f);
  EXPECT_NE(first, choices_of(other, fault::torn_frame, 1, 64));
}

TEST(injector, strikes_with_the_given_probability) {
  service_faults f;
  f.stall = {0.25};
  injector one(f);
  const auto all = choices_of(one, fault::stall, 1, 100000);
  EXPECT_NEAR(static_cast<double>(std::count(all.begin(), all.end(), true)), 25000, 1000)
      << "seven standard deviations";
}

TEST(injector, respects_after_and_at_most) {
  service_faults f;
  f.crowd = {.probability = 1, .after = 3, .at_most = 2};
  injector one(f);
  EXPECT_EQ(choices_of(one, fault::crowd, 1, 7),
            (std::vector<bool>{false, false, false, true, true, false, false}));
  EXPECT_EQ(choices_of(one, fault::crowd, 2, 5), std::vector<bool>(5, false))
      << "the limit applies to all clients together";
  EXPECT_EQ(choices_of(one, fault::stall, 1, 5), std::vector<bool>(5, false));
}

}  // namespace
}  // namespace cpgring::testing
