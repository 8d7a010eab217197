// Other members, forked children, a service that is killed or stopped.
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "stage.hpp"

namespace conformance {
namespace {

void add_two_members() {
  add("two/the_other_joins_sends_and_leaves", [] {
    other_member other;
    const auto h = open_joined();
    say("join %d", other.ask("join"));
    until(h, [] { return the.changes == 2; });
    say("send %d", other.ask("hello"));
    until(h, [] { return the.messages == 1; });
    say("leave %d", other.ask("leave"));
    until(h, [] { return the.changes == 3; });
  });
  add("two/the_other_finalizes", [] {
    other_member other;
    const auto h = open_joined();
    other.ask("join");
    until(h, [] { return the.changes == 2; });
    say("finalize %d", other.ask("finalize"));
    until(h, [] { return the.changes == 3; });
  });
  add("two/the_other_is_killed", [] {
    other_member other;
    const auto h = open_joined();
    other.ask("join");
    until(h, [] { return the.changes == 2; });
    other.kill();
    until(h, [] { return the.changes == 3; });
  });
  add("two/join_the_others_group", [] {
    other_member other;
    say("join %d", other.ask("join"));
    const auto h = open_handle();
    say("join %d", join(h, &group));
    until(h, [] { return the.changes == 1; });
  });
  add("two/large_messages_of_both", [] {
    other_member other;
    const auto h = open_joined();
    other.ask("join");
    until(h, [] { return the.changes == 2; });
    say("send %d", send(h, std::string(1500000, 'm')));
    say("send %d", other.ask("small"));
    until(h, [] { return the.messages == 2; });
  });
  add("two/members_after_a_blocked_dispatch_was_finalized", [] {
    other_member other;
    const auto h = open_joined();
    other.ask("join");
    until(h, [] { return the.changes == 2; });
    the.loud = false;
    std::atomic<pid_t> thread{0};
    std::thread blocked([h, &thread] {
      thread = ::gettid();
      cpg_dispatch(h, CS_DISPATCH_BLOCKING);
    });
    while (thread == 0) {
      ::usleep(100);
    }
    until_state("self/task/" + std::to_string(thread), 'S');
    cpg_finalize(h);
    const auto watch = open_handle();
    int count = -1;
    for (int i = 0; i < 100 && count != 1; ++i) {
      cpg_address list[CPG_MEMBERS_MAX];
      cpg_name n = group;
      count = CPG_MEMBERS_MAX;
      cpg_membership_get(watch, &n, list, &count);
      ::usleep(10000);
    }
    say("members %d", count);
    std::fflush(stdout);
    ::_exit(0);
  });
  add("fork/a_child_uses_its_parents_handle", [] {
    const auto h = open_joined();
    const pid_t child = ::fork();
    if (child == 0) {
      unsigned node = 0;
      say("in the child %d", cpg_local_get(h, &node));
      ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
    unsigned node = 0;
    say("in the parent %d", cpg_local_get(h, &node));
  });
  add("fork/a_child_opens_its_own", [] {
    const auto h = open_joined();
    const pid_t child = ::fork();
    if (child == 0) {
      the = {};
      const auto mine = open_handle();
      say("in the child: join %d", join(mine, &group));
      say("finalize %d", cpg_finalize(mine));
      ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
    unsigned node = 0;
    say("in the parent %d", cpg_local_get(h, &node));
  });
}

/// The pid of the runner's service, for cases that kill or stop it.
pid_t service_pid() {
  const char* text = std::getenv("CONFORMANCE_SERVICE_PID");
  return text == nullptr ? 0 : static_cast<pid_t>(std::atol(text));
}

void add_without_service() {
  add("gone/five_events_in_the_ring", [] {
    const auto h = open_joined();
    make_wait(h, 5);
    ::kill(service_pid(), SIGKILL);
    while (std::strcmp(state_of(fd_of(h)), "hung up") != 0) {
      ::usleep(1000);
    }
    say("dispatch %d", cpg_dispatch(h, CS_DISPATCH_ALL));
    say("dispatch %d", cpg_dispatch(h, CS_DISPATCH_ALL));
  });
  const std::map<std::string, std::function<int(cpg_handle_t)>> calls{
      {"join", [](cpg_handle_t h) { return static_cast<int>(cpg_join(h, &group)); }},
      {"local_get",
       [](cpg_handle_t h) {
         unsigned n = 0;
         return static_cast<int>(cpg_local_get(h, &n));
       }},
      {"dispatch_one", [](cpg_handle_t h) { return static_cast<int>(cpg_dispatch(h, CS_DISPATCH_ONE)); }},
      {"dispatch_all", [](cpg_handle_t h) { return static_cast<int>(cpg_dispatch(h, CS_DISPATCH_ALL)); }},
      {"dispatch_blocking",
       [](cpg_handle_t h) { return static_cast<int>(cpg_dispatch(h, CS_DISPATCH_BLOCKING)); }},
      {"finalize", [](cpg_handle_t h) { return static_cast<int>(cpg_finalize(h)); }},
      {"initialize",
       [](cpg_handle_t) {
         cpg_handle_t h = 0;
         return static_cast<int>(cpg_initialize(&h, nullptr));
       }},
      {"fd_get",
       [](cpg_handle_t h) {
         int fd = 0;
         return static_cast<int>(cpg_fd_get(h, &fd));
       }},
  };
  for (const auto& [name, call] : calls) {
    add("gone/" + name, [call = call] {
      const auto h = open_handle();
      ::kill(service_pid(), SIGKILL);
      while (std::strcmp(state_of(fd_of(h)), "hung up") != 0) {
        ::usleep(1000);
      }
      say("%d", call(h));
    });
  }
  add("gone/send", [] {
    const auto h = open_joined();
    ::kill(service_pid(), SIGKILL);
    while (std::strcmp(state_of(fd_of(h)), "hung up") != 0) {
      ::usleep(1000);
    }
    say("%d", send(h, "x"));
  });
  for (const std::string what : {"initialize", "local_get", "join", "finalize"}) {
    add("stopped/" + what, [what] {
      const auto h = open_handle();
      ::kill(service_pid(), SIGSTOP);
      until_state(std::to_string(service_pid()), 'T');
      unsigned node = 0;
      cpg_handle_t second = 0;
      const int code = what == "initialize"  ? cpg_initialize(&second, nullptr)
                       : what == "local_get" ? cpg_local_get(h, &node)
                       : what == "join"      ? cpg_join(h, &group)
                                             : cpg_finalize(h);
      say("%d", code);
    });
  }
}

}  // namespace

void add_other_processes() {
  add_two_members();
  add_without_service();
}

}  // namespace conformance
