// The engine and the command work with epoll where io_uring is refused.
#include "support/refused_io_uring.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include <fmt/format.h>

#include "support/command.hpp"
#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

class flow_refused_io_uring : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(with, flow_refused_io_uring, ::testing::Values(EPERM, ENOSYS), [](const auto& info) {
  return std::string(info.param == EPERM ? "EPERM" : "ENOSYS");
});

TEST_P(flow_refused_io_uring, an_engine_falls_back_to_epoll_and_logs_it) {
  EXPECT_EQ(with_io_uring_refused(
                GetParam(),
                [] {
                  world w;
                  witness a;
                  open_joined(w, a, world::fresh_group());
                  if (::testing::Test::HasFailure() || !a.self.multicast("through") ||
                      !w.until([&] { return a.messages.size() == 1; })) {
                    return std::string("no message came");
                  }
                  if (w.loop().stats().backend != wakeup::epoll) {
                    return std::string("took ") + std::string(to_string(w.loop().stats().backend));
                  }
                  return w.said("allow io_uring_setup") ? std::string() : std::string("said nothing");
                }),
            "");
}

TEST_P(flow_refused_io_uring, a_forced_backend_fails_before_anything_is_open) {
  EXPECT_EQ(with_io_uring_refused(GetParam(),
                                  [] {
                                    world w(wakeup::futex);
                                    auto did = w.loop().dispatch(mode::all);
                                    if (did) {
                                      return std::string("it was dispatched");
                                    }
                                    return did.error() == errc::unsupported_kernel ? std::string()
                                                                                   : did.error().message();
                                  }),
            "");
}

TEST_P(flow_refused_io_uring, the_command_loads_and_probes) {
  EXPECT_EQ(with_io_uring_refused(
                GetParam(),
                [] {
                  std::vector<std::string> line{"load",   "--handles", "20",     "--messages", "2000",
                                                "--rate", "0",         "--json", "-"};
                  if (!world::embedded()) {
                    line.insert(line.end(), {"--service", "cpg"});
                  }
                  const auto load = cpgring_command(line);
                  const auto probe = cpgring_command({"probe"});
                  const bool good = load.status == 0 && load.out.find("\"epoll\"") != std::string::npos &&
                                    probe.status == 0 && probe.out.find("refused") != std::string::npos;
                  return good ? std::string()
                              : fmt::format("{} {} {} {}", load.status, load.out, load.err, probe.out);
                }),
            "");
}

// --- io_uring_enter is refused while the engine runs

/// Handles that echo "ping" while the engine is driven; any thread.
struct echoes {
  std::atomic<int> got{0};

  bool open(engine& loop, const world& w, int handles, const std::string& group) {
    for (int i = 0; i < handles; ++i) {
      callbacks calls;
      calls.on_state = [](handle& h, const state_change& s) {
        if (s.to == handle_state::joined) {
          static_cast<void>(h.multicast("ping"));
        }
      };
      calls.on_message = [this](handle& h, const message&) {
        ++got;
        static_cast<void>(h.multicast("ping"));
      };
      if (!loop.open(w.options(group + std::to_string(i)), std::move(calls))) {
        return false;
      }
    }
    return true;
  }
  /// Waits for 100 more echoes.
  bool resume() {
    const int before = got;
    return eventually([&] { return got >= before + 100; });
  }
};

class flow_closed_later : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(with, flow_closed_later, ::testing::Values(EPERM, ENOSYS, EACCES, ENXIO),
                         [](const auto& info) { return std::string(::strerrorname_np(info.param)); });

TEST_P(flow_closed_later, a_driven_engine_continues_with_epoll_and_sleeps_when_idle) {
  EXPECT_EQ(in_a_child([code = GetParam()]() -> std::string {
              world w;
              witness a;
              open_joined(w, a, world::fresh_group());
              if (::testing::Test::HasFailure() || !refuse_io_uring(io_uring_call::enter, code) ||
                  !a.self.multicast("through") || !w.until([&] { return a.messages.size() == 1; })) {
                return "no message came";
              }
              if (w.loop().stats().backend != wakeup::epoll || !w.said("let io_uring_enter through")) {
                return "the fallback was not reported";
              }
              const auto turns = w.loop().stats().enters;
              budget limit;
              limit.time = std::chrono::milliseconds(300);
              static_cast<void>(w.loop().dispatch(mode::blocking, limit));
              const auto more = w.loop().stats().enters - turns;
              return more < 1000 ? "" : fmt::format("it entered the kernel {} times while idle", more);
            }),
            "");
}

TEST_P(flow_closed_later, several_reactors_continue_with_epoll) {
  EXPECT_EQ(in_a_child([code = GetParam()]() -> std::string {
              world w(wakeup::automatic, [](engine_options& o) {
                o.reactors = 3;
                o.workers = 1;
              });
              echoes all;
              if (!all.open(w.loop(), w, 6, world::fresh_group()) || !w.loop().start() || !all.resume()) {
                return "the engine does not start";
              }
              if (!refuse_io_uring(io_uring_call::enter, code) || !all.resume()) {
                return "the engine does not continue";
              }
              return eventually([&] { return w.loop().stats().backend == wakeup::epoll; }) ? "" : "not epoll";
            }),
            "");
}

TEST_P(flow_closed_later, dispatch_fails_if_the_backend_was_forced) {
  EXPECT_EQ(in_a_child([code = GetParam()]() -> std::string {
              world w(wakeup::futex);
              witness a;
              open_joined(w, a, world::fresh_group());
              if (::testing::Test::HasFailure() || !refuse_io_uring(io_uring_call::enter, code)) {
                return "no handle or no filter";
              }
              for (const mode how : {mode::blocking, mode::blocking}) {
                const auto ended = w.loop().dispatch(how);
                if (ended || ended.error() != errc::unsupported_kernel ||
                    ended.error().message().find("let io_uring_enter through") == std::string::npos) {
                  return ended ? "dispatch() returned no error" : ended.error().message();
                }
              }
              return {};
            }),
            "");
}

TEST_P(flow_closed_later, a_started_engine_stops_if_the_backend_was_forced) {
  EXPECT_EQ(
      in_a_child([code = GetParam()]() -> std::string {
        world w(wakeup::futex, [](engine_options& o) { o.reactors = 2; });
        echoes all;
        if (!all.open(w.loop(), w, 4, world::fresh_group()) || !w.loop().start() || !all.resume() ||
            !refuse_io_uring(io_uring_call::enter, code) || !eventually([&] { return w.loop().stopped(); })) {
          return "the engine does not stop";
        }
        const auto refused = w.loop().post([] {});
        return !refused && refused.error() == errc::stopped &&
                       refused.error().message().find("let io_uring_enter through") != std::string::npos &&
                       w.said("the engine stops")
                   ? ""
                   : "the cause is not reported";
      }),
      "");
}

TEST_P(flow_closed_later, run_with_several_reactors_fails_if_the_backend_was_forced) {
  EXPECT_EQ(in_a_child([code = GetParam()]() -> std::string {
              world w(wakeup::futex, [](engine_options& o) { o.reactors = 2; });
              echoes all;
              if (!all.open(w.loop(), w, 4, world::fresh_group())) {
                return "no handle was opened";
              }
              std::atomic<bool> closed{false};
              std::thread sandbox([&] {
                closed = all.resume() && refuse_io_uring(io_uring_call::enter, code);
                if (!closed) {
                  w.loop().stop();
                }
              });
              const auto ended = w.loop().run();
              sandbox.join();
              if (!closed || ended) {
                return "run() returned no error";
              }
              return ended.error() == errc::unsupported_kernel ? "" : ended.error().message();
            }),
            "");
}

}  // namespace
