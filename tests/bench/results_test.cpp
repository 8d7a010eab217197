// Rows of a report: medians, ratios above 1 where cpgring is better, and JSON with every field.
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/results.hpp"

namespace cpgring::bench {
namespace {

using ::testing::HasSubstr;

nlohmann::json json_of(const results& r) { return nlohmann::json::parse(r.json()); }

TEST(results, take_medians_and_give_ratios_above_one_where_cpgring_is_better) {
  results r("suite");
  const row& lower = r.add("time", "ns", better::lower, {30, 10, 20}, {40, 80, 60}, "peer");
  EXPECT_DOUBLE_EQ(lower.ours, 20);
  EXPECT_DOUBLE_EQ(*lower.peer, 60);
  EXPECT_DOUBLE_EQ(*lower.ratio, 3);
  EXPECT_EQ(lower.runs, 3);
  EXPECT_DOUBLE_EQ(lower.spread, 0.5)
      << "15 to 25 around 20; the peer's range, 50 to 70 around 60, is narrower";
  const row& higher = r.add("rate", "a second", better::higher, {100, 100}, {50, 50}, "peer");
  EXPECT_DOUBLE_EQ(*higher.ratio, 2);
  EXPECT_DOUBLE_EQ(higher.spread, 0);
}

TEST(results, have_no_ratio_without_a_peer_or_against_zero) {
  results r("suite");
  EXPECT_FALSE(r.add("no peer", "ns", better::lower, {1}, {}, "peer").ratio);
  EXPECT_FALSE(r.add("nothing against something", "switches", better::lower, {0}, {5}, "peer").ratio);
  EXPECT_DOUBLE_EQ(*r.add("nothing on both sides", "switches", better::lower, {0}, {0}, "peer").ratio, 1);
  for (const auto& one : json_of(r)["rows"]) {
    EXPECT_TRUE(one.contains("ratio"));
  }
  EXPECT_TRUE(json_of(r)["rows"][0]["peer"].is_null());
  EXPECT_TRUE(json_of(r)["rows"][1]["ratio"].is_null());
}

TEST(results, mark_missed_targets) {
  results r("suite");
  r.want("twice", "ns", better::lower, {10}, {15}, "peer", 2);
  r.want("even", "ns", better::lower, {10}, {15}, "peer", 1.5);
  row& most = r.add("added", "ns", better::lower, {61}, {}, "peer");
  most.wanted = 60;
  most.ours_at_most = true;
  r.want("no peer", "ns", better::lower, {10}, {}, "peer", 1);
  const auto rows = json_of(r)["rows"];
  EXPECT_TRUE(rows[0]["missed"]);
  EXPECT_FALSE(rows[1]["missed"]);
  EXPECT_TRUE(rows[2]["missed"]);
  EXPECT_TRUE(rows[3]["missed"]) << "a target without a comparison counts as missed";
}

TEST(results, have_all_fields_in_json) {
  results r("suite");
  r.add("case \"a\"", "ns", better::higher, {1}, {2}, "peer");
  r.note("left out: something");
  const auto j = json_of(r);
  EXPECT_EQ(j["suite"], "suite");
  EXPECT_EQ(j["notes"][0], "left out: something");
  const auto& one = j["rows"][0];
  EXPECT_EQ(one["suite"], "suite");
  EXPECT_EQ(one["case"], "case \"a\"");
  EXPECT_EQ(one["unit"], "ns");
  EXPECT_EQ(one["better"], "higher");
  EXPECT_EQ(one["ours"], 1);
  EXPECT_EQ(one["peer"], 2);
  EXPECT_EQ(one["peer_name"], "peer");
  EXPECT_EQ(one["ratio"], 0.5);
  EXPECT_EQ(one["runs"], 1);
  EXPECT_EQ(one["spread"], 0);
}

}  // namespace
}  // namespace cpgring::bench
