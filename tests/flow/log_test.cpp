// Reports of losses through the log and the results of run(); log callbacks that throw; signals are left to
// the program.
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

TEST(flow_log, a_log_callback_that_throws_is_counted_and_ends_nothing) {
  world w(wakeup::automatic, [](engine_options& o) {
    o.log = [](log_level, std::string_view) { throw std::runtime_error("no room"); };
  });
  witness a;
  open_joined(w, a, world::fresh_group());
  ASSERT_TRUE(a.self.multicast("x"));
  EXPECT_TRUE(w.until([&] { return a.messages.size() == 1; }));
  EXPECT_GT(w.loop().stats().log_failures, 0U);
}

TEST(flow_log, lines_below_the_level_are_left_out) {
  std::vector<std::string> lines;
  world w(wakeup::automatic, [&](engine_options& o) {
    o.log = [&](log_level level, std::string_view text) {
      lines.push_back(std::string(to_string(level)) + " " + std::string(text));
    };
    o.log_level = log_level::error;
  });
  witness a;
  open_joined(w, a, world::fresh_group());  // logs the chosen backend at level info
  EXPECT_TRUE(lines.empty()) << lines.front();
}

TEST(flow_log, many_losses_of_one_cause_are_one_line_and_a_sum) {
  world w;
  auto service = std::make_unique<embedded_service>();
  constexpr std::size_t count = 200;
  std::vector<witness> handles(count);
  for (auto& one : handles) {
    auto options = w.options(world::fresh_group());
    options.service = service->name();
    options.ring_bytes = 16384;
    ASSERT_TRUE(w.loop().open(options, one.record()));
  }
  const auto all = [&](handle_state state) {
    return [&handles, state] {
      return std::all_of(handles.begin(), handles.end(),
                         [state](const witness& one) { return one.is(state); });
    };
  };
  ASSERT_TRUE(w.until(all(handle_state::joined)));
  service.reset();
  ASSERT_TRUE(w.until(all(handle_state::lost)));
  ASSERT_TRUE(w.until([&] { return w.said("199 more losses on"); }));
  const auto lines = w.log();
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                          [](const std::string& line) { return line.starts_with("error:"); }),
            2);
}

/// Opens a handle with on_message alone and runs the engine.
result<void> run_deaf(engine& loop, const std::string& service) {
  handle_options h;
  h.service = service;
  h.group = "g";
  callbacks calls;
  calls.on_message = [](handle&, const message&) {};
  if (auto opened = loop.open(h, std::move(calls)); !opened) {
    return fail(opened.error());
  }
  return loop.run();
}

TEST(flow_run, returns_the_error_when_no_event_can_come_and_no_callback_reported_it) {
  engine loop;
  const auto ran = run_deaf(loop, "no-such-service");
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error(), errc::service_absent);
  // Each further call returns the error again, also dispatch().
  const auto did = loop.dispatch(mode::blocking);
  ASSERT_FALSE(did);
  EXPECT_EQ(did.error(), errc::service_absent);
}

TEST(flow_run, returns_the_loss_of_the_last_handle) {
  embedded_service service;
  engine loop;
  handle_options h;
  h.service = service.name();
  h.group = "g";
  callbacks calls;
  calls.on_view = [&](handle&, const view&) { service.stop(); };
  ASSERT_TRUE(loop.open(h, std::move(calls)));
  const auto ran = loop.run();
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error(), errc::service_lost);
}

TEST(flow_run, continues_while_a_timer_is_pending) {
  engine loop;
  int ticks = 0;
  std::function<void()> tick = [&] {
    if (++ticks == 5) {
      loop.stop();
    } else {
      ASSERT_TRUE(loop.after(std::chrono::milliseconds(1), tick));
    }
  };
  ASSERT_TRUE(loop.after(std::chrono::milliseconds(1), tick));
  EXPECT_TRUE(run_deaf(loop, "no-such-service"));
  EXPECT_EQ(ticks, 5);
}

TEST(flow_run, continues_when_on_state_reported_the_loss) {
  engine loop;
  handle_options h;
  h.service = "no-such-service";
  callbacks calls;
  std::thread other;
  calls.on_state = [&](handle&, const state_change& change) {
    if (change.to == handle_state::lost) {
      other = std::thread([&] { loop.stop(); });
    }
  };
  ASSERT_TRUE(loop.open(h, std::move(calls)));
  EXPECT_TRUE(loop.run());
  other.join();
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

TEST(flow_signals, are_blocked_on_every_thread_of_the_library) {
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
