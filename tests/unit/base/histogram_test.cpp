// Compares the histogram with exact percentiles of the recorded values.
#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <cpgring/histogram.hpp>

namespace {

using cpgring::histogram;

std::uint64_t exact(std::vector<std::uint64_t> values, double percent) {
  std::sort(values.begin(), values.end());
  const auto rank =
      static_cast<std::size_t>(std::ceil(percent / 100.0 * static_cast<double>(values.size()) - 1e-9));
  return values[std::max<std::size_t>(rank, 1) - 1];
}

const double percents[] = {0, 1, 50, 90, 99, 99.9, 99.99, 100};

RC_GTEST_PROP(histogram, percentiles_are_exact_to_a_thousandth, ()) {
  const auto bits = *rc::gen::inRange(1, 61);
  const auto values = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::uint64_t>>(
      rc::gen::inRange<std::uint64_t>(0, std::uint64_t{1} << bits)));
  histogram h;
  for (const auto v : values)
    h.record(v);
  RC_ASSERT(h.count() == values.size());
  RC_ASSERT(h.min() == *std::min_element(values.begin(), values.end()));
  RC_ASSERT(h.max() == *std::max_element(values.begin(), values.end()));
  for (const double p : percents) {
    const std::uint64_t is = exact(values, p), kept = h.percentile(p);
    RC_ASSERT(kept >= is);
    RC_ASSERT(static_cast<double>(kept - is) <= static_cast<double>(is) * 0.001);
  }
}

RC_GTEST_PROP(histogram, merging_equals_recording_into_one,
              (std::vector<std::uint32_t> a, std::vector<std::uint32_t> b)) {
  histogram one, two, both;
  for (const auto v : a) {
    one.record(v);
    both.record(v);
  }
  for (const auto v : b) {
    two.record(v, 3);
    both.record(v, 3);
  }
  one.merge(two);
  RC_ASSERT(one.count() == both.count());
  RC_ASSERT(one.min() == both.min());
  RC_ASSERT(one.max() == both.max());
  for (const double p : percents)
    RC_ASSERT(one.percentile(p) == both.percentile(p));
}

TEST(histogram, is_empty_at_first_and_after_reset) {
  histogram h;
  EXPECT_EQ(h.percentile(50), 0U);
  EXPECT_EQ(h.min(), 0U);
  EXPECT_EQ(h.mean(), 0.0);
  h.record(7, 2);
  h.record(0);
  EXPECT_EQ(h.count(), 3U);
  EXPECT_EQ(h.percentile(100), 7U);
  h.reset();
  EXPECT_EQ(h.count(), 0U);
  EXPECT_EQ(h.max(), 0U);
  EXPECT_EQ(h.percentile(99), 0U);
}

TEST(histogram, clamps_values_above_its_range) {
  histogram h;
  h.record(UINT64_MAX);
  EXPECT_EQ(h.max(), (std::uint64_t{1} << 62) - 1);
  EXPECT_EQ(h.percentile(50), h.max());
}

TEST(histogram, computes_mean_and_standard_deviation) {
  histogram h;
  for (const std::uint64_t v : {2U, 4U, 4U, 4U, 5U, 5U, 7U, 9U})
    h.record(v);
  EXPECT_DOUBLE_EQ(h.mean(), 5.0);
  EXPECT_DOUBLE_EQ(h.standard_deviation(), 2.0);
}

TEST(histogram, hgrm_lines_ascend_and_end_at_the_maximum) {
  histogram h;
  for (std::uint64_t v = 1; v <= 10000; ++v)
    h.record(v * 1000);
  std::istringstream text(h.to_hgrm(1000.0));
  std::string line;
  std::getline(text, line);
  EXPECT_NE(line.find("Percentile"), std::string::npos);
  double last_value = 0, last_share = -1;
  std::uint64_t last_count = 0, lines = 0;
  while (std::getline(text, line)) {
    double value = 0, share = 0;
    unsigned long long count = 0;
    if (line.empty() || line[0] == '#')
      continue;
    ASSERT_EQ(std::sscanf(line.c_str(), "%lf %lf %llu", &value, &share, &count), 3) << line;
    EXPECT_GE(value, last_value);
    EXPECT_GT(share, last_share);
    EXPECT_GE(count, last_count);
    last_value = value;
    last_share = share;
    last_count = count;
    ++lines;
  }
  EXPECT_GT(lines, 30U);
  EXPECT_EQ(last_value, 10000.0);
  EXPECT_EQ(last_share, 1.0);
  EXPECT_EQ(last_count, 10000U);
}

}  // namespace
