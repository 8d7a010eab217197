// How much code one waiting event runs through: instructions, cache lines and pages. After a rest the lines
// and pages are what it costs (docs/decisions/003-event-path.md).
//
// The engine runs in a child process, and this process single-steps one dispatch call of it. Nothing is
// timed.
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <set>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include <cpgring/cpgring.hpp>
#include <cpgring/service.hpp>

namespace {

using namespace cpgring;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int joined_signal = SIGHUP, begin_signal = SIGUSR1, end_signal = SIGUSR2;
constexpr int warm_rounds = 20;  // so that the dynamic linker has resolved all calls
constexpr auto patience = std::chrono::seconds(30);

// A tenth above what is found today, because any change of the code moves functions in the program. Before
// the functions of this path stood together it was 46 pages.
struct bounds {
  wakeup backend;
  std::size_t lines, pages;
};
constexpr bounds rows[] = {{wakeup::futex, 248, 31}, {wakeup::epoll, 266, 34}};
void PrintTo(const bounds& row, std::ostream* out) { *out << to_string(row.backend); }

[[noreturn]] void fail_child(const char* what) {
  std::fprintf(stderr, "child: %s\n", what);
  ::_exit(1);
}

/// Multicasts to itself and dispatches what comes back. Signals tell the parent that it has joined, and
/// surround the last dispatch call.
[[noreturn]] void child(const std::string& service, wakeup backend) {
  const auto end = steady_clock::now() + patience;
  engine_options options;
  options.wakeup_backend = backend;
  options.idle_strategy = idle::block;
  auto loop = engine::create(options);
  if (!loop) {
    fail_child(loop.error().message().c_str());
  }
  int received = 0;
  callbacks calls;
  calls.on_message = [&received](handle&, const message&) { ++received; };
  handle_options handle;
  handle.service = service;
  handle.group = "event path";
  handle.supervision.reconnect = true;  // the parent starts the service after the fork
  handle.supervision.backoff_min = milliseconds(1);
  handle.supervision.backoff_max = milliseconds(20);
  auto opened = loop->open(handle, std::move(calls));
  if (!opened) {
    fail_child(opened.error().message().c_str());
  }
  const auto drive_until = [&](const auto& condition) {
    while (!condition()) {
      if (steady_clock::now() > end || !loop->dispatch(mode::all)) {
        fail_child("it took more than 30 s");
      }
    }
  };
  drive_until([&] { return opened->state() == handle_state::joined; });
  std::raise(joined_signal);
  for (int i = 0; i < warm_rounds; ++i) {
    if (!opened->multicast("m")) {
      fail_child("multicast");
    }
    drive_until([&] { return received == i + 1; });
  }
  if (!opened->multicast("m")) {
    fail_child("multicast");
  }
  // The parent continues this process only when the event waits.
  std::raise(begin_signal);
  const auto done = loop->dispatch(mode::all);
  std::raise(end_signal);
  ::_exit(done && done->events == 1 && received == warm_rounds + 1 ? 0 : 2);
}

struct path {
  std::size_t instructions = 0, system_calls = 0;
  std::set<std::uint64_t> lines, pages;
  void step(pid_t of) {
    user_regs_struct r{};
    ASSERT_EQ(::ptrace(PTRACE_GETREGS, of, nullptr, &r), 0);
    ++instructions;
    lines.insert(r.rip / 64);
    pages.insert(r.rip / 4096);
    constexpr long system_call = 0x050f;  // the bytes 0f 05
    system_calls += (::ptrace(PTRACE_PEEKTEXT, of, r.rip, nullptr) & 0xffff) == system_call ? 1U : 0U;
  }
};

/// Runs the child to its end and returns what its last dispatch call ran through.
path trace(pid_t of, embedded_service& service) {
  path found;
  std::uint64_t events_before = 0;
  bool stepping = false;
  int status = 0;
  while (::waitpid(of, &status, 0) == of && WIFSTOPPED(status)) {
    int pass_on = 0;
    switch (const int signal = WSTOPSIG(status)) {
      case joined_signal: events_before = service.stats().events; break;
      case begin_signal: {
        const auto end = steady_clock::now() + patience;
        while (service.stats().events != events_before + warm_rounds + 1 && steady_clock::now() < end) {
          std::this_thread::sleep_for(milliseconds(1));
        }
        stepping = true;
        break;
      }
      case end_signal: stepping = false; break;
      case SIGTRAP: found.step(of); break;
      default: pass_on = signal;
    }
    ::ptrace(stepping ? PTRACE_SINGLESTEP : PTRACE_CONT, of, nullptr, pass_on);
  }
  EXPECT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: the child said why; 2: the call did not run exactly one event";
  return found;
}

struct event_path : ::testing::TestWithParam<bounds> {};

TEST_P(event_path, of_one_waiting_event_stays_short) {
  const std::string name =
      "event-path-" + std::to_string(::getpid()) + std::string(to_string(GetParam().backend));
  const pid_t of = ::fork();
  ASSERT_GE(of, 0);
  if (of == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
      fail_child("ptrace is refused here");
    }
    child(name, GetParam().backend);
  }
  embedded_service_options options;
  options.name = name;
  auto service = embedded_service::create(options);
  ASSERT_TRUE(service) << service.error().message();
  const path found = trace(of, *service);
  std::printf("%zu instructions, %zu lines, %zu pages, %zu system calls\n", found.instructions,
              found.lines.size(), found.pages.size(), found.system_calls);
  EXPECT_GT(found.lines.size(), 100U) << "the dispatch call was not stepped through";
  EXPECT_LE(found.lines.size(), GetParam().lines);
  EXPECT_LE(found.pages.size(), GetParam().pages);
}

INSTANTIATE_TEST_SUITE_P(on, event_path, ::testing::ValuesIn(rows),
                         [](const auto& row) { return std::string(to_string(row.param.backend)); });

}  // namespace
