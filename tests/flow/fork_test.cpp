// A forked child inherits an engine: every call in the child is refused, destructors in the child do not
// affect the parent, and the parent continues.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

class flow_fork : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_fork, ::testing::ValuesIn(backends_here()), backend_name);

/// Makes every call in the child. 0: all were refused; else the number of the first check that failed.
int refused_everywhere(world& w, handle& h, reservation open_one) {
  const std::function<bool()> checks[] = {
      [&] { return h.multicast("from the child").error() == errc::forked; },
      [&] { return h.leave().error() == errc::forked; },
      [&] { return h.reserve(16).error() == errc::forked; },
      [&] { return open_one.commit().error() == errc::forked; },
      [&] { return w.loop().dispatch(mode::all).error() == errc::forked; },
      [&] { return w.loop().open(w.options("child"), {}).error() == errc::forked; },
      [&] { return w.loop().post([] {}).error() == errc::forked; },
      [&] { return h.close(), h.state() == handle_state::closed; },
      [&] { return w.end_engine(), w.end_service(), true; },
  };
  int number = 0;
  for (const auto& holds : checks) {
    ++number;
    if (!holds()) {
      return number;
    }
  }
  return 0;
}

int status_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_P(flow_fork, refuses_every_call_in_the_child_and_does_not_affect_the_parent) {
  for (const std::uint32_t workers : {0U, 2U}) {
    world w(GetParam(), [&](engine_options& o) { o.workers = workers; });
    witness a, b;
    const auto group = world::fresh_group();
    open_joined(w, a, group);
    auto reserved = a.self.reserve(8);
    ASSERT_TRUE(reserved);
    const pid_t child = ::fork();
    if (child == 0) {
      ::_exit(refused_everywhere(w, a.self, std::move(*reserved)));
    }
    EXPECT_EQ(status_of(child), 0) << "the number of the check that failed";
    std::memcpy(reserved->bytes().data(), "reserved", 8);
    ASSERT_TRUE(reserved->commit());
    ASSERT_TRUE(a.self.multicast("plain"));
    ASSERT_TRUE(w.until([&] { return a.messages.size() == 2; }));
    EXPECT_EQ(a.messages[0], "reserved");
    EXPECT_EQ(a.messages[1], "plain");
    open_joined(w, b, group, made_up_pid + 4711);
  }
}

TEST_P(flow_fork, leaves_a_started_engine_of_the_parent_running) {
  struct shape {
    std::uint32_t reactors, workers;
  };
  for (const shape& of : {shape{1, 0}, shape{2, 0}, shape{2, 2}}) {
    world w(GetParam(), [&of](engine_options& o) {
      o.reactors = of.reactors;
      o.workers = of.workers;
    });
    std::atomic<int> got{0}, joined{0};
    const auto calls = std::make_shared<callbacks>();
    calls->on_message = [&](handle&, const message&) { ++got; };
    calls->on_state = [&](handle&, const state_change& s) { joined += s.to == handle_state::joined ? 1 : 0; };
    handle all[2];
    for (auto& one : all) {
      auto opened = w.loop().open(w.options(world::fresh_group()), calls);
      ASSERT_TRUE(opened);
      one = *opened;
    }
    ASSERT_TRUE(w.loop().start());
    ASSERT_TRUE(eventually([&] { return joined == 2; }));
    const pid_t child = ::fork();
    if (child == 0) {
      const bool refused = all[0].multicast("from the child").error() == errc::forked &&
                           w.loop().start().error() == errc::forked && w.loop().run().error() == errc::forked;
      w.loop().stop();
      w.end_engine();
      ::_exit(refused ? 0 : 1);
    }
    EXPECT_EQ(status_of(child), 0);
    for (auto& one : all) {
      ASSERT_TRUE(one.multicast("from the parent"));
    }
    EXPECT_TRUE(eventually([&] { return got == 2; })) << got;
  }
}

/// Forks a program that runs `begin`, which forks an idle helper. Returns the pids of both.
template <class Begin>
std::pair<pid_t, pid_t> program_with_a_helper(Begin begin) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t program = ::fork();
  if (program == 0) {
    begin([&] {
      const pid_t helper = ::fork();
      if (helper == 0) {
        ::pause();
        ::_exit(0);
      }
      static_cast<void>(!::write(ends[1], &helper, sizeof helper));
    });
    ::_exit(0);
  }
  pid_t helper = -1;
  EXPECT_EQ(::read(ends[0], &helper, sizeof helper), static_cast<ssize_t>(sizeof helper));
  ::close(ends[0]);
  ::close(ends[1]);
  return {program, helper};
}

void kill_and_wait(pid_t program) {
  ::kill(program, SIGKILL);
  ::waitpid(program, nullptr, 0);
}

TEST(flow_fork_helper, does_not_keep_the_clients_or_the_name_of_a_dead_service) {
  const std::string name = world::fresh_group("forked");
  const auto [program, helper] = program_with_a_helper([&](const auto& fork_helper) {
    embedded_service_options o;
    o.name = name;
    const embedded_service service(o);
    fork_helper();
    ::pause();
  });
  {
    world w;
    witness client;
    auto options = w.options("g");
    options.service = name;
    ASSERT_TRUE(w.loop().open(options, client.record()));
    ASSERT_TRUE(w.until([&] { return client.is(handle_state::joined); }));
    kill_and_wait(program);
    EXPECT_TRUE(w.until([&] { return client.is(handle_state::lost); }));
    embedded_service_options o;
    o.name = name;
    const embedded_service successor(o);
    witness next;
    ASSERT_TRUE(w.loop().open(options, next.record()));
    EXPECT_TRUE(w.until([&] { return next.is(handle_state::joined); }));
  }
  ::kill(helper, SIGKILL);
}

TEST_P(flow_fork, a_forked_helper_does_not_keep_a_dead_member_in_its_group) {
  const auto group = world::fresh_group();
  constexpr std::uint32_t pid = made_up_pid + 4711;
  world w;
  witness stays;
  open_joined(w, stays, group);
  const auto [program, helper] = program_with_a_helper([&, backend = GetParam()](const auto& fork_helper) {
    engine_options options;
    options.wakeup_backend = backend;
    engine loop(options);
    auto h = w.options(group);
    cpgring::testing::simulate_pid(h, pid);
    callbacks calls;
    calls.on_state = [&](handle&, const state_change& change) {
      if (change.to == handle_state::joined) {
        fork_helper();
      }
    };
    if (loop.open(h, std::move(calls))) {
      static_cast<void>(loop.run());
    }
  });
  const auto reported = [&](const std::string& sign) {
    return
        [&stays, sign] { return !stays.views.empty() && stays.views.back().find(sign) != std::string::npos; };
  };
  ASSERT_TRUE(w.until(reported(fmt::format("+{}", pid))));
  kill_and_wait(program);
  EXPECT_TRUE(w.until(reported(fmt::format("-{}", pid))));
  ::kill(helper, SIGKILL);
}

}  // namespace
