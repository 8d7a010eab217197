// The command as users run it: exit codes, output, JSON. The service is embedded in the test, or stock
// corosync (see support/world.hpp).
#include <signal.h>
#include <sys/resource.h>

#include <fstream>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/command.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

struct command_line : ::testing::Test {
  world w;
  std::string group = world::fresh_group("cli");

  std::vector<std::string> on_service(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin() + 1, {"--service", w.service()});
    return arguments;
  }
};

nlohmann::json json_of(const ended& e) { return nlohmann::json::parse(e.out); }

void expect_all_delivered(const nlohmann::json& j, std::uint64_t messages) {
  EXPECT_EQ(j["messages_sent"], messages);
  EXPECT_EQ(j["messages_delivered"], messages);
  for (const auto* wrong : {"lost", "duplicated", "out_of_order", "corrupted"}) {
    EXPECT_EQ(j[wrong], 0) << wrong;
  }
}

TEST_F(command_line, load_delivers_everything_once_in_order_and_reports_it_as_json) {
  const auto e = cpgring_command({"load", "--service", w.service(), "--handles", "20", "--messages", "2000",
                                  "--rate", "20000", "--json", "-"});
  ASSERT_EQ(e.status, 0) << e.err;
  EXPECT_THAT(e.err, IsEmpty());
  const auto j = json_of(e);
  expect_all_delivered(j, 2000);
  EXPECT_EQ(j["service"], w.service());
  EXPECT_EQ(j["handles"], 20);
  for (const auto* positive : {"throughput_per_s", "cpu_ns_per_message", "connect_us_per_handle",
                               "shm_bytes_per_handle", "rss_bytes"}) {
    EXPECT_GT(j[positive].get<double>(), 0) << positive;
  }
  const auto& l = j["latency_ns"];
  EXPECT_GT(l["p50"], 0);
  EXPECT_LE(l["p50"], l["p90"]);
  EXPECT_LE(l["p90"], l["p99"]);
  EXPECT_LE(l["p99"], l["p99_9"]);
  EXPECT_LE(l["p99_9"], l["p99_99"]);
  EXPECT_LE(l["p99_99"], l["max"]);
}

TEST_F(command_line, load_prints_a_table_or_one_file_alone) {
  const std::vector<std::string> few{"load",       "--service", w.service(), "--handles", "2",
                                     "--messages", "200",       "--rate",    "0"};
  const auto with = [&few](std::vector<std::string> more) {
    more.insert(more.begin(), few.begin(), few.end());
    return cpgring_command(more);
  };
  const auto table = with({});
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_THAT(table.out, StartsWith("cpgring load: service"));
  EXPECT_THAT(table.out, HasSubstr("good: every message was delivered once, in order and intact"));
  const auto distribution = with({"--hgrm", "-"});
  EXPECT_EQ(distribution.status, 0) << distribution.err;
  EXPECT_THAT(distribution.out, StartsWith("       Value     Percentile"));
  EXPECT_THAT(distribution.out, Not(HasSubstr("good")));
  const auto both = with({"--json", "-", "--hgrm", "-"});
  EXPECT_EQ(both.status, 2);
  EXPECT_THAT(both.err, HasSubstr("name a file for the other"));
  EXPECT_THAT(both.out, IsEmpty());
}

TEST_F(command_line, load_uses_group_names_that_are_unique_across_nodes) {
  child run(cpgring_line(
      {"load", "--service", w.service(), "--handles", "1", "--messages", "1000000", "--rate", "100"}));
  std::string listed;
  ASSERT_TRUE(eventually([&] {
    listed = cpgring_command(on_service({"groups"})).out;
    return listed.find("cpgring-load-" + std::to_string(run.pid())) != std::string::npos;
  }));
  EXPECT_THAT(listed, ContainsRegex("cpgring-load-" + std::to_string(run.pid()) + "-[0-9a-f]{16}-0 "));
  run.signal(SIGTERM);
  EXPECT_EQ(run.wait().status, 0);
}

struct load_variants : ::testing::TestWithParam<std::vector<std::string>> {};

TEST_P(load_variants, deliver_everything) {
  const world w;
  const auto& variant = GetParam();
  const bool large = std::count(variant.begin(), variant.end(), "1500000") != 0;
  const std::uint64_t messages = large ? 60 : 600;
  std::vector<std::string> arguments{"load",      "--service", w.service(), "--rate", "0",
                                     "--handles", "5",         "--json",    "-"};
  arguments.insert(arguments.end(), {"--messages", std::to_string(messages)});
  arguments.insert(arguments.end(), variant.begin(), variant.end());
  const auto e = cpgring_command(arguments);
  ASSERT_EQ(e.status, 0) << e.out << e.err;
  expect_all_delivered(json_of(e), messages);
}

INSTANTIATE_TEST_SUITE_P(
    of, load_variants,
    ::testing::Values(
        std::vector<std::string>{"--mode", "one"}, std::vector<std::string>{"--mode", "one_nonblocking"},
        std::vector<std::string>{"--mode", "all"}, std::vector<std::string>{"--wakeup", "epoll"},
        std::vector<std::string>{"--wakeup", "auto"}, std::vector<std::string>{"--idle", "block"},
        std::vector<std::string>{"--idle", "yield"}, std::vector<std::string>{"--size", "32"},
        std::vector<std::string>{"--size", "100000"}, std::vector<std::string>{"--window", "1"},
        std::vector<std::string>{"--size", "1500000", "--window", "4"},
        std::vector<std::string>{"--workers", "2"}, std::vector<std::string>{"--retain", "20"},
        std::vector<std::string>{"--reactors", "2"},
        std::vector<std::string>{"--workers", "2", "--retain", "20", "--work", "1000", "--ordering",
                                 "by_sender"},
        std::vector<std::string>{"--reactors", "3", "--workers", "2", "--retain", "5"}));

TEST_F(command_line, load_with_several_reactors_accepts_only_mode_blocking) {
  const auto e = cpgring_command({"load", "--service", w.service(), "--reactors", "2", "--mode", "all"});
  EXPECT_NE(e.status, 0);
  EXPECT_NE(e.err.find("--mode blocking"), std::string::npos) << e.err;
}

TEST_F(command_line, load_under_weak_orderings_loses_no_message) {
  for (const char* ordering : {"by_key", "unordered"}) {
    const auto e =
        cpgring_command({"load", "--service", w.service(), "--messages", "600", "--rate", "0", "--handles",
                         "5", "--workers", "3", "--ordering", ordering, "--json", "-"});
    ASSERT_EQ(e.status, 0) << e.out << e.err;
    const auto j = json_of(e);
    EXPECT_EQ(j["messages_delivered"], 600);
    EXPECT_EQ(j["ordering"], ordering);
    for (const char* wrong : {"lost", "duplicated", "corrupted"}) {
      EXPECT_EQ(j[wrong], 0) << wrong;
    }
  }
}

TEST_F(command_line, load_starts_its_own_service_by_default) {
  const auto e =
      cpgring_command({"load", "--handles", "50", "--messages", "500", "--rate", "5000", "--json", "-"});
  ASSERT_EQ(e.status, 0) << e.err;
  expect_all_delivered(json_of(e), 500);
  EXPECT_EQ(json_of(e)["service"], "embedded");
}

TEST_F(command_line, load_ended_by_a_signal_waits_for_messages_in_flight) {
  child run(cpgring_line({"load", "--service", w.service(), "--handles", "2", "--messages", "1000000",
                          "--rate", "1000", "--json", "-", "-v"}));
  ASSERT_TRUE(run.until_it_says("wake-up backend"));
  // Joins and sends start at about this time; the signal is handled before and after.
  run.signal(SIGINT);
  const auto e = run.wait();
  EXPECT_EQ(e.status, 0) << e.err;
  const auto j = json_of(e);
  EXPECT_EQ(j["interrupted"], true);
  EXPECT_EQ(j["messages_sent"], j["messages_delivered"]);
}

TEST_F(command_line, load_that_loses_its_service_reports_the_loss) {
  child service(cpgring_line({"serve", "--name", "cpgring-doomed"}));
  ASSERT_TRUE(service.until_it_says("serving"));
  child run(cpgring_line({"load", "--service", "cpgring-doomed", "--handles", "2", "--messages", "1000000",
                          "--rate", "1000", "-v"}));
  ASSERT_TRUE(run.until_it_says("wake-up backend"));
  child watcher(cpgring_line({"listen", "--service", "cpgring-doomed", "x"}));
  // The groups are listed once the two handles have joined; from then on messages flow.
  while (cpgring_command({"groups", "--service", "cpgring-doomed"}).out.find("cpgring-load") ==
         std::string::npos) {
  }
  service.signal(SIGKILL);
  service.wait();
  const auto e = run.wait();
  EXPECT_TRUE(e.status == 1 || e.status == 3) << e.status;
  EXPECT_THAT(e.out + e.err, HasSubstr("hung up"));
}

TEST_F(command_line, load_refuses_invalid_options) {
  for (const auto& wrong : std::vector<std::vector<std::string>>{{"--size", "31"},
                                                                 {"--handles", "0"},
                                                                 {"--messages", "-1"},
                                                                 {"--messages", "0"},
                                                                 {"--rate", "-5"},
                                                                 {"--rate", "1e3"},
                                                                 {"--window", "18446744073709551616"},
                                                                 {"--work", "-1"},
                                                                 {"--patience", "0"},
                                                                 {"--size", "-1K"},
                                                                 {"--mode", "two"},
                                                                 {"--wakeup", "telepathy"},
                                                                 {"--ring-bytes", "64M"},
                                                                 {"--no-such-option"}}) {
    auto arguments = wrong;
    arguments.insert(arguments.begin(), "load");
    const auto e = cpgring_command(arguments);
    EXPECT_EQ(e.status, 2) << wrong[0];
    EXPECT_THAT(e.err, HasSubstr(wrong[0]));
    EXPECT_LT(e.err.size(), 250U) << e.err;
    EXPECT_THAT(e.out, IsEmpty());
  }
}

TEST_F(command_line, load_reports_which_limit_of_the_machine_is_too_low) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto e = cpgring_command({"load", "--handles", "100000", "--service", w.service()});
  EXPECT_EQ(e.status, 3);
  EXPECT_THAT(e.err, HasSubstr("take fewer"));
}

TEST_F(command_line, load_reports_an_unwritable_file_at_once) {
  const auto e = cpgring_command({"load", "--service", w.service(), "--json", "/nowhere/at/all.json"});
  EXPECT_EQ(e.status, 3);
  EXPECT_THAT(e.err, HasSubstr("/nowhere/at/all.json"));
}

TEST_F(command_line, an_absent_service_has_its_own_exit_code_and_message) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"load", "--handles", "3"}, {"listen", "g"}, {"send", "g", "text"}, {"groups"}}) {
    auto line = arguments;
    line.insert(line.begin() + 1, {"--service", "cpgring-nobody-home"});
    const auto e = cpgring_command(line);
    EXPECT_EQ(e.status, 3) << arguments[0];
    EXPECT_THAT(e.err, HasSubstr("no service listens under 'cpgring-nobody-home'")) << arguments[0];
    EXPECT_THAT(e.out, IsEmpty());
  }
}

TEST_F(command_line, listen_prints_sent_lines_one_by_one) {
  child listener(cpgring_line(on_service({"listen", group, "--count", "3", "--views"})));
  ASSERT_TRUE(listener.until_it_says("view 1"));
  const auto sent = cpgring_command(on_service({"send", group}), "first\n\nthird without an end");
  EXPECT_EQ(sent.status, 0) << sent.err;
  const auto heard = listener.wait();
  EXPECT_EQ(heard.status, 0) << heard.err;
  EXPECT_EQ(heard.out, "first\n\nthird without an end\n");
}

TEST_F(command_line, send_whole_makes_one_message_even_above_the_atomic_limit) {
  std::string input(3'000'000, 'x');
  input[1'500'000] = '\n';
  child listener(cpgring_line(on_service({"listen", group, "--count", "1", "--raw", "--views"})));
  ASSERT_TRUE(listener.until_it_says("view 1"));
  EXPECT_EQ(cpgring_command(on_service({"send", group, "--whole"}), input).status, 0);
  const auto heard = listener.wait();
  EXPECT_TRUE(heard.out == input) << heard.out.size();
}

TEST_F(command_line, listen_writes_events_as_json) {
  child listener(cpgring_line(on_service({"listen", group, "--count", "1", "--json", "--views"})));
  ASSERT_TRUE(listener.until_it_says("\"view\""));
  EXPECT_EQ(cpgring_command(on_service({"send", group, "hello \xff"})).status, 0);
  const auto heard = listener.wait();
  std::istringstream lines(heard.out);
  bool message = false;
  for (std::string line; std::getline(lines, line);) {
    const auto j = nlohmann::json::parse(line);
    if (j["event"] == "message") {
      message = true;
      EXPECT_THAT(j["payload"].get<std::string>(), StartsWith("hello "));
      EXPECT_EQ(j["sequence"], 1);
    }
  }
  EXPECT_TRUE(message);
}

TEST_F(command_line, groups_lists_members_and_escapes_unprintable_names) {
  child listener(cpgring_line(on_service({"listen", group + "\x01\\", "--views"})));
  ASSERT_TRUE(listener.until_it_says("view 1"));
  const auto plain = cpgring_command(on_service({"groups"}));
  EXPECT_EQ(plain.status, 0) << plain.err;
  EXPECT_THAT(plain.out, HasSubstr(group + "\\x01\\\\ "));
  EXPECT_THAT(plain.out, HasSubstr(std::to_string(listener.pid())));
  const auto list = nlohmann::json::parse(cpgring_command(on_service({"groups", "--json"})).out);
  const auto mine =
      std::find_if(list.begin(), list.end(), [&](const auto& one) { return one["pid"] == listener.pid(); });
  ASSERT_NE(mine, list.end());
  EXPECT_EQ((*mine)["group"], group + "\x01\\");
  listener.signal(SIGTERM);
  EXPECT_EQ(listener.wait().status, 0);
}

TEST_F(command_line, serve_runs_until_sigterm_and_refuses_a_taken_name) {
  child first(cpgring_line({"serve", "--name", "cpgring-taken"}));
  ASSERT_TRUE(first.until_it_says("serving 'cpgring-taken'"));
  const auto second = cpgring_command({"serve", "--name", "cpgring-taken"});
  EXPECT_EQ(second.status, 3);
  EXPECT_THAT(second.err, HasSubstr("'cpgring-taken' is taken"));
  EXPECT_EQ(cpgring_command({"send", "--service", "cpgring-taken", "g", "text"}).status, 0);
  first.signal(SIGTERM);
  const auto e = first.wait();
  EXPECT_EQ(e.status, 0);
  EXPECT_THAT(e.out, HasSubstr("served 1 connections, 1 multicasts"));
}

TEST_F(command_line, serve_injects_faults_and_counts_them) {
  child service(cpgring_line({"serve", "--name", "cpgring-bad", "--inject", "try-again=1:100,stall=1:1",
                              "--inject", "crowd=1:20", "--seed", "3"}));
  ASSERT_TRUE(service.until_it_says("serving 'cpgring-bad'"));
  const auto send = [](int deadline) {
    return cpgring_command(
        {"send", "--service", "cpgring-bad", "--deadline", std::to_string(deadline), "g", "text"});
  };
  int deadline = 100;
  ended sent = send(deadline);
  // On a slow machine it may pass before the join has been asked for, or has been answered.
  while (sent.err.find("the join was not completed") == std::string::npos && deadline < 60000) {
    sent = send(deadline *= 2);
  }
  sent = send(deadline * 4);
  EXPECT_EQ(sent.status, 3) << "every join is answered with TRY_AGAIN";
  EXPECT_THAT(sent.err, HasSubstr("the join was not completed"));
  service.signal(SIGTERM);
  const auto e = service.wait();
  EXPECT_EQ(e.status, 0);
  EXPECT_THAT(e.out, HasSubstr("injected faults: "));
  EXPECT_THAT(e.out, HasSubstr(" try-again"));
  EXPECT_THAT(e.out, HasSubstr(" stall"));
}

TEST_F(command_line, serve_lists_the_known_faults) {
  const auto unknown =
      cpgring_command({"serve", "--name", "cpgring-odd", "--inject", "stall=0.1:5,tornado=0.1"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.err, HasSubstr("there is no fault 'tornado'; there are torn-frame, lying-frame"));
  const auto rate = cpgring_command({"serve", "--name", "cpgring-odd", "--inject", "torn-frame=7"});
  EXPECT_EQ(rate.status, 2);
  EXPECT_THAT(rate.err, HasSubstr("torn_frame.probability is 7, it must be 0 to 1"));
  EXPECT_THAT(cpgring_command({"serve", "--help"}).out, HasSubstr("late-doorbell[:ms at most] (event)"));
}

TEST_F(command_line, invalid_group_names_are_refused) {
  EXPECT_EQ(cpgring_command(on_service({"send", "", "text"})).status, 2);
  const auto e = cpgring_command(on_service({"listen", std::string(129, 'g')}));
  EXPECT_EQ(e.status, 2);
  EXPECT_THAT(e.err, HasSubstr("128"));
}

TEST_F(command_line, probe_prints_the_backend_as_text_and_as_json) {
  const auto plain = cpgring_command({"probe"});
  EXPECT_EQ(plain.status, 0);
  EXPECT_THAT(plain.out, HasSubstr("wake-up backend"));
  const auto j = nlohmann::json::parse(cpgring_command({"probe", "--json"}).out);
  EXPECT_EQ(j["wakeup_backend"], to_string(engine::probe().backend));
}

TEST_F(command_line, help_succeeds_and_no_arguments_is_a_usage_error) {
  const auto help = cpgring_command({"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_THAT(help.out, HasSubstr("Exit codes"));
  EXPECT_EQ(cpgring_command({}).status, 2);
  EXPECT_EQ(cpgring_command({"load", "--help"}).status, 0);
}

}  // namespace
}  // namespace cpgring::test
