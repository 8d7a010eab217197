// A child process inherits an engine: every call there is refused, its destructor leaves the parent's alone, and the parent goes on.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

class flow_fork : public testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_fork, testing::ValuesIn(backends_here()), backend_name);

/// What goes wrong in a child that does what it must not: 0 for nothing, else the number of the first check that failed.
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

TEST_P(flow_fork, a_child_is_refused_and_its_destructors_leave_the_parent_alone) {
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
    open_joined(w, b, group, 4711);
  }
}

TEST_P(flow_fork, an_engine_with_threads_of_its_own_goes_on) {
  struct shape {
    std::uint32_t reactors, workers;
  };
  for (const shape& of : {shape{1, 0}, shape{2, 0}, shape{2, 2}}) {
    world w(GetParam(), [&of](engine_options& o) {
      o.reactors = of.reactors;
      o.workers = of.workers;
    });
    std::atomic<int> got{0}, joined{0};
    callbacks calls;
    calls.on_message = [&](handle&, const message&) { ++got; };
    calls.on_state = [&](handle&, const state_change& s) { joined += s.to == handle_state::joined ? 1 : 0; };
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
      const bool refused = all[0].multicast("from the child").error() == errc::forked && w.loop().start().error() == errc::forked &&
                           w.loop().run().error() == errc::forked;
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

}  // namespace
