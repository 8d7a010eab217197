// `cpgring load` against stock corosync, with every wake-up backend and with as many handles as a daemon
// takes.
#include <fstream>

#include <nlohmann/json.hpp>

#include "support/command.hpp"
#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

nlohmann::json load(std::vector<std::string> arguments) {
  const std::string file = ::testing::TempDir() + "cpgring-load.json";
  arguments.insert(arguments.begin(), {"load", "--service", "cpg", "--json", file});
  const auto outcome = cpgring_command(arguments);
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  nlohmann::json all;
  std::ifstream(file) >> all;
  return all;
}

void expect_good(const nlohmann::json& all, std::uint64_t handles, std::uint64_t messages) {
  EXPECT_EQ(all.at("service"), "cpg");
  EXPECT_EQ(all.at("handles"), handles);
  EXPECT_EQ(all.at("messages_sent"), messages);
  EXPECT_EQ(all.at("messages_delivered"), messages);
  for (const char* wrong : {"lost", "duplicated", "out_of_order", "corrupted"}) {
    EXPECT_EQ(all.at(wrong), 0) << wrong;
  }
  for (const char* there : {"throughput_per_s", "cpu_ns_per_message", "connect_us_per_handle",
                            "shm_bytes_per_handle", "rss_bytes"}) {
    EXPECT_GT(all.at(there).get<double>(), 0) << there;
  }
  for (const char* there : {"p50", "p90", "p99", "p99_9", "p99_99", "max"}) {
    EXPECT_GT(all.at("latency_ns").at(there).get<double>(), 0) << there;
  }
}

class load_on_corosync : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(with, load_on_corosync, ::testing::ValuesIn(backends_here()), backend_name);

TEST_P(load_on_corosync, five_hundred_handles_get_everything_once_and_in_order) {
  const std::string backend(to_string(GetParam()));
  const auto all = load({"--handles", "500", "--messages", "30000", "--rate", "15000", "--wakeup", backend});
  expect_good(all, 500, 30000);
  EXPECT_EQ(all.at("wakeup_backend"), backend);
}

TEST(load_on_corosync_too, four_thousand_handles_with_small_rings) {
  expect_good(load({"--handles", "4000", "--messages", "8000", "--rate", "1000", "--ring-bytes", "65536"}),
              4000, 8000);
}

TEST(load_on_corosync_too, one_handle_without_a_rate_limit) {
  expect_good(load({"--handles", "1", "--messages", "200000", "--rate", "0"}), 1, 200000);
}

}  // namespace
