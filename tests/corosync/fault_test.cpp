// Faults of a real daemon: stopped, killed, absent, refusing, out of memory or descriptors. Each gives its
// own error, nothing hangs or leaks, and other handles continue.
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "support/command.hpp"
#include "support/filler.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

ended control(const char* verb) { return child({std::getenv("COROSYNC_CONTROL"), verb}).wait(); }

/// The number of ring directories of this process, with any running or dead service.
std::size_t ring_directories() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    const auto name = entry.path().filename().string();
    count +=
        name.starts_with("qb-") && name.find(fmt::format("-{}-", ::getpid())) != std::string::npos ? 1U : 0U;
  }
  return count;
}

std::size_t descriptors() {
  const auto all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

class corosync_fault : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(control("start").status & ~64, 0) << "64: the daemon already runs"; }
  void TearDown() override {
    control("cont");
    EXPECT_EQ(control("start").status & ~64, 0);
    // A running daemon removes them after a while.
    const auto end = std::chrono::steady_clock::now() + patience;
    while (ring_directories() != 0 && std::chrono::steady_clock::now() < end) {
      ::usleep(1000);
    }
    EXPECT_EQ(ring_directories(), 0U) << child({"sh", "-c", "ls -la /dev/shm/qb-*"}).wait().out;
  }
  /// Opens a handle that will be lost; returns the cause.
  static error loss(world& w, const std::function<void(handle_options&)>& adjust = {}) {
    witness lost;
    auto o = w.options(world::fresh_group());
    if (adjust) {
      adjust(o);
    }
    auto opened = w.loop().open(o, lost.record());
    if (!opened) {
      return opened.error();
    }
    EXPECT_TRUE(w.until([&] { return lost.is(handle_state::lost); }));
    return lost.causes.empty() ? error(errc::library, "no cause was reported") : lost.causes.back();
  }
};

TEST_F(corosync_fault, a_stopped_daemon_times_out_connects_and_queries_and_affects_no_other_handle) {
  world w;
  witness before, after;
  open_joined(w, before, world::fresh_group());
  ASSERT_EQ(control("stop").status, 0);
  EXPECT_EQ(loss(w, [](handle_options& o) { o.connect_deadline = std::chrono::milliseconds(200); }),
            errc::timeout);
  EXPECT_TRUE(before.is(handle_state::joined));
  bool answered = false;
  std::optional<error> why;
  witness slow;
  ASSERT_EQ(control("cont").status, 0);
  open_joined(w, after, world::fresh_group(), 0,
              [](handle_options& o) { o.control_deadline = std::chrono::seconds(2); });
  ASSERT_EQ(control("stop").status, 0);
  ASSERT_TRUE(after.self.query_local_node([&](result<std::uint32_t> r) {
    answered = true;
    if (!r) {
      why = r.error();
    }
  }));
  EXPECT_TRUE(w.until([&] { return answered; }));
  ASSERT_TRUE(why);
  EXPECT_EQ(*why, errc::timeout);
  ASSERT_EQ(control("cont").status, 0);
  ASSERT_TRUE(before.self.multicast("still here"));
  EXPECT_TRUE(w.until([&] { return before.messages.size() == 1; }));
}

TEST_F(corosync_fault, an_engine_ends_at_its_deadline_while_the_daemon_is_stopped) {
  auto w = std::make_unique<world>(
      wakeup::automatic, [](engine_options& o) { o.close_deadline = std::chrono::milliseconds(200); });
  witness a;
  open_joined(*w, a, world::fresh_group());
  ASSERT_EQ(control("stop").status, 0);
  w.reset();
  ASSERT_EQ(control("cont").status, 0);
}

TEST_F(corosync_fault, a_killed_daemon_loses_nothing_that_it_had_delivered) {
  for (const wakeup backend : backends_here()) {
    world w(backend);
    witness a;
    const auto group = world::fresh_group();
    open_joined(w, a, group);
    {
      filler f(w, a, group);
      while (w.loop().dispatch(mode::one_nonblocking)) {
      }
      a.messages.clear();
      f.fill(50);
      ASSERT_EQ(control("kill").status, 0);
      ASSERT_TRUE(w.until([&] { return a.is(handle_state::lost); }));
    }
    EXPECT_EQ(a.messages.size(), 50U) << to_string(backend);
    EXPECT_EQ(std::count(a.states.begin(), a.states.end(), handle_state::lost), 1);
    EXPECT_EQ(a.causes.back(), errc::service_lost);
    EXPECT_EQ(a.all.back(), "state lost") << "after everything that was delivered";
    EXPECT_EQ(loss(w), errc::service_absent) << "no service listens now";
    ASSERT_EQ(control("start").status, 0);
    witness again;
    open_joined(w, again, world::fresh_group());
  }
}

TEST_F(corosync_fault, a_full_dev_shm_is_reported_and_leaks_nothing) {
  world w;
  witness before, after;
  open_joined(w, before, world::fresh_group());
  struct statvfs s {};
  ASSERT_EQ(::statvfs("/dev/shm", &s), 0);
  const auto size_kib = s.f_blocks * s.f_frsize / 1024,
             used_kib = (s.f_blocks - s.f_bfree) * s.f_frsize / 1024;
  const auto resize = [](auto kib) {
    return child({"mount", "-o", fmt::format("remount,size={}k", kib), "/dev/shm"}).wait().status;
  };
  const auto rings = ring_directories(), open = descriptors();
  ASSERT_EQ(resize(used_kib + 100), 0);
  EXPECT_EQ(loss(w), errc::no_space);
  EXPECT_EQ(resize(size_kib), 0);
  EXPECT_EQ(ring_directories(), rings);
  EXPECT_EQ(descriptors(), open);
  ASSERT_TRUE(before.self.multicast("not affected"));
  EXPECT_TRUE(w.until([&] { return before.messages.size() == 1; }));
  open_joined(w, after, world::fresh_group());
}

TEST_F(corosync_fault, a_user_that_corosync_does_not_admit_is_refused) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) {
      ::_exit(2);
    }
    world w;
    ::_exit(loss(w) == errc::access ? 0 : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(corosync_fault, running_out_of_descriptors_loses_only_that_handle) {
  world w;
  witness before, after;
  open_joined(w, before, world::fresh_group());
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  // One free descriptor: the socket fits, the files of the rings do not. Then none.
  const auto open = descriptors();
  for (const std::size_t more : {1U, 0U}) {
    rlimit small = old;
    small.rlim_cur = open - 1 + more;  // the listing itself held one
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &small), 0);
    const error why = loss(w);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
    EXPECT_EQ(why, errc::no_descriptors) << why.message();
    EXPECT_EQ(descriptors(), open);
  }
  ASSERT_TRUE(before.self.multicast("not affected"));
  EXPECT_TRUE(w.until([&] { return before.messages.size() == 1; }));
  open_joined(w, after, world::fresh_group());
}

}  // namespace
