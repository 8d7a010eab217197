// A program's log callback and its signals stay the program's own affair.
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

TEST(flow_log, a_callback_that_throws_ends_nothing_and_is_counted) {
  world w(wakeup::automatic, [](engine_options& o) { o.log = [](log_level, std::string_view) { throw std::runtime_error("no room"); }; });
  witness a;
  open_joined(w, a, world::fresh_group());
  ASSERT_TRUE(a.self.multicast("x"));
  EXPECT_TRUE(w.until([&] { return a.messages.size() == 1; }));
  EXPECT_GT(w.loop().stats().log_failures, 0U);
}

TEST(flow_log, lines_below_the_level_are_left_out) {
  std::vector<std::string> lines;
  world w(wakeup::automatic, [&](engine_options& o) {
    o.log = [&](log_level level, std::string_view text) { lines.push_back(std::string(to_string(level)) + " " + std::string(text)); };
    o.log_level = log_level::error;
  });
  witness a;
  open_joined(w, a, world::fresh_group());  // says at level info which backend was chosen
  EXPECT_TRUE(lines.empty()) << lines.front();
}

/// The value of a line of /proc/PID/status.
std::string field(const std::filesystem::path& status, const std::string& name) {
  std::ifstream file(status);
  for (std::string word, value; file >> word;) {
    if (word == name) {
      std::getline(file >> std::ws, value);
      return value;
    }
  }
  return {};
}

TEST(flow_signals, no_thread_of_the_library_takes_them) {
  embedded_service service;
  engine_options options;
  options.workers = 2;
  options.reactors = 2;
  engine loop(options);
  handle_options h;
  h.service = service.name();
  h.group = "g";
  ASSERT_TRUE(loop.open(h, {}));
  ASSERT_TRUE(loop.start());
  int threads = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    if (field(task.path() / "status", "Name:").starts_with("cpgring-")) {
      const auto blocked = std::stoull(field(task.path() / "status", "SigBlk:"), nullptr, 16);
      for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGALRM, SIGCHLD}) {
        EXPECT_NE(blocked & (1ULL << (signal - 1)), 0U) << task.path() << " takes signal " << signal;
      }
      ++threads;
    }
  }
  EXPECT_GE(threads, 5) << "service, two reactors, two workers";
}

}  // namespace
}  // namespace cpgring::test
