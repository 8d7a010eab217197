// Dispatching: modes, readiness of the descriptor, calls inside callbacks, threads.
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

void run_on_small_stack(std::size_t bytes, const std::function<void()>& what) {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, bytes);
  pthread_t thread;
  ::pthread_create(
      &thread, &attributes,
      [](void* p) -> void* {
        (*static_cast<const std::function<void()>*>(p))();
        return nullptr;
      },
      const_cast<std::function<void()>*>(&what));
  ::pthread_join(thread, nullptr);
}

void add_dispatch_cases() {
  const std::map<std::string, cs_dispatch_flags_t> modes{
      {"one", CS_DISPATCH_ONE}, {"all", CS_DISPATCH_ALL}, {"one_nonblocking", CS_DISPATCH_ONE_NONBLOCKING}};
  for (const auto& [name, how] : modes) {
    for (const int waiting : {1, 3}) {
      add("dispatch/" + name + "_of_" + std::to_string(waiting), [how = how, waiting] {
        const auto h = open_joined();
        make_wait(h, waiting);
        say("%d", cpg_dispatch(h, how));
        say("fd %s", state_of(fd_of(h)));
      });
    }
  }
  for (const auto how : {CS_DISPATCH_ALL, CS_DISPATCH_ONE_NONBLOCKING}) {
    add("dispatch/no_event_for_" + std::to_string(how), [how] {
      const auto h = open_joined();
      say("%d", cpg_dispatch(h, how));
      say("%d", cpg_dispatch(h, how));
    });
  }
  for (const auto how : {CS_DISPATCH_ALL, CS_DISPATCH_ONE_NONBLOCKING}) {
    add("dispatch/beside_another_threads_callback_" + std::to_string(how), [how] {
      const auto h = open_joined();
      std::atomic<bool> inside{false}, over{false};
      the.on_message = [&](cpg_handle_t, void*, std::size_t) {
        inside = true;
        while (!over) {
          ::usleep(1000);
        }
      };
      make_wait(h, 1);
      std::thread other([&] { cpg_dispatch(h, CS_DISPATCH_ONE); });
      while (!inside) {
        ::usleep(1000);
      }
      say("%d", cpg_dispatch(h, how));
      over = true;
      other.join();
    });
  }
  for (const auto how : {CS_DISPATCH_ALL, CS_DISPATCH_ONE_NONBLOCKING, CS_DISPATCH_ONE}) {
    add("dispatch/the_next_beside_another_threads_callback_" + std::to_string(how), [how] {
      const auto h = open_joined();
      std::atomic<bool> inside{false}, over{false};
      the.on_message = [&](cpg_handle_t, void*, std::size_t) {
        if (inside.exchange(true)) {
          over = true;
          return;
        }
        while (!over) {
          ::usleep(1000);
        }
      };
      make_wait(h, 2);
      std::thread other([&] { cpg_dispatch(h, CS_DISPATCH_ONE); });
      while (!inside) {
        ::usleep(1000);
      }
      say("%d", cpg_dispatch(h, how));
      over = true;
      other.join();
      say("fd %s", state_of(fd_of(h)));
    });
  }
  add("dispatch/two_thousand_at_once", [] {
    const auto h = open_joined();
    the.loud = false;
    make_wait(h, 2000);
    until(h, [] { return the.messages == 2000; });
    ::usleep(20000);
    cpg_dispatch(h, CS_DISPATCH_ALL);
    say("messages %d, fd %s", the.messages, state_of(fd_of(h)));
  });
  add("dispatch/one_event_for_each_poll", [] {
    const auto h = open_joined();
    the.loud = false;
    make_wait(h, 500);
    int wakeups = 0;
    for (; wakeups < 1000 && std::strcmp(state_of(fd_of(h), 500), "readable") == 0; ++wakeups) {
      cpg_dispatch(h, CS_DISPATCH_ONE);
    }
    say("messages %d, wakeups %d, fd %s", the.messages, wakeups, state_of(fd_of(h)));
  });
  for (const int how : {1, 2, 3, 4, 99}) {
    add("dispatch/finalize_in_a_callback_of_" + std::to_string(how), [how] {
      const auto h = open_joined();
      make_wait(h, 3);
      the.on_message = [](cpg_handle_t of, void*, std::size_t) { say("  finalize %d", cpg_finalize(of)); };
      say("%d", cpg_dispatch(h, static_cast<cs_dispatch_flags_t>(how)));
      say("%d", cpg_dispatch(h, static_cast<cs_dispatch_flags_t>(how)));
      say("messages %d", the.messages);
    });
  }
  add("dispatch/inside_a_callback", [] {
    const auto h = open_joined();
    make_wait(h, 3);
    the.on_message = [](cpg_handle_t of, void* msg, std::size_t size) {
      if (the.messages == 1) {
        say("  inner %d", cpg_dispatch(of, CS_DISPATCH_ALL));
        say("  still '%s'", text_of(msg, size).c_str());
      }
    };
    say("outer %d", cpg_dispatch(h, CS_DISPATCH_ALL));
    say("fd %s", state_of(fd_of(h)));
    make_wait(h, 2, "later");
    say("outer %d", cpg_dispatch(h, CS_DISPATCH_ALL));
  });
  add("dispatch/more_than_a_ring_inside_a_callback", [] {
    const auto h = open_joined();
    the.loud = false;
    constexpr int many = 4000;
    the.on_message = [](cpg_handle_t of, void* msg, std::size_t size) {
      if (text_of(msg, size) == "once") {
        cpg_dispatch(of, CS_DISPATCH_ALL);
      } else if (text_of(msg, size) == "go") {
        const int before = the.messages;
        for (int i = 0; i < many; ++i) {
          send(of, std::string(1000, 'x'));
          cpg_dispatch(of, CS_DISPATCH_ALL);
        }
        until(of, [before] { return the.messages == before + many; });
        say("  inside %d, still '%s'", the.messages - before, text_of(msg, size).c_str());
      }
    };
    send(h, "once");
    until(h, [] { return the.messages == 1; });
    send(h, "go");
    until(h, [] { return the.messages == many + 2; });
    say("messages %d", the.messages);
  });
  add("dispatch/a_callback_throws", [] {
    const auto h = open_joined();
    make_wait(h, 3);
    the.on_message = [](cpg_handle_t, void*, std::size_t) {
      if (the.messages == 1) {
        throw 7;
      }
    };
    try {
      say("%d", cpg_dispatch(h, CS_DISPATCH_ALL));
    } catch (int thrown) {
      say("caught %d", thrown);
    }
    until(h, [] { return the.messages == 3; });
    say("messages %d", the.messages);
  });
  add("dispatch/another_handle_inside_a_callback", [] {
    const auto h = open_joined();
    const cpg_name n = name_of(group_text + "x");
    the.changes = 0;
    const auto second = open_joined(n);
    make_wait(h, 2);
    make_wait(second, 2, "second");
    the.on_message = [second](cpg_handle_t, void*, std::size_t) {
      if (the.messages == 1) {
        say("  inner %d", cpg_dispatch(second, CS_DISPATCH_ALL));
      }
    };
    say("outer %d", cpg_dispatch(h, CS_DISPATCH_ALL));
  });
  add("dispatch/a_large_message_takes_as_many_ones_as_fragments", [] {
    const auto h = open_joined();
    say("send %d", send(h, std::string(2500000, 'x')));
    int ones = 0;
    while (the.messages == 0 && ones < 10 && std::strcmp(state_of(fd_of(h), 2000), "readable") == 0) {
      say("one %d", cpg_dispatch(h, CS_DISPATCH_ONE));
      ++ones;
    }
    say("ones %d", ones);
  });
  add("dispatch/leave_in_a_callback", [] {
    const auto h = open_joined();
    send(h, "go");
    the.on_message = [](cpg_handle_t of, void*, std::size_t) { say("  leave %d", leave(of, &group)); };
    until(h, [] { return the.changes == 2; });
  });
  add("dispatch/queries_in_a_callback", [] {
    const auto h = open_joined();
    send(h, "go");
    the.on_message = [](cpg_handle_t of, void*, std::size_t) {
      unsigned node = 0;
      cpg_address list[CPG_MEMBERS_MAX];
      int count = CPG_MEMBERS_MAX;
      cpg_name n = group;
      say("  local %d", cpg_local_get(of, &node));
      say("  members %d %d", cpg_membership_get(of, &n, list, &count), count);
    };
    until(h, [] { return the.messages == 1; });
  });
  for (const std::size_t kib : {64UL, 512UL}) {
    add("dispatch/on_a_stack_of_" + std::to_string(kib) + "_kib", [kib] {
      const auto h = open_joined();
      make_wait(h, 2);
      the.loud = false;
      run_on_small_stack(kib * 1024, [h] { say("%d", cpg_dispatch(h, CS_DISPATCH_ALL)); });
      say("messages %d", the.messages);
    });
  }
  for (const auto how : {CS_DISPATCH_ONE, CS_DISPATCH_BLOCKING}) {
    add("dispatch/blocked_in_" + std::to_string(how) + "_and_finalized_by_another_thread", [how] {
      const auto h = open_joined();
      std::atomic<pid_t> thread{0};
      std::thread blocked([h, how, &thread] {
        thread = ::gettid();
        say("dispatch %d", cpg_dispatch(h, how));
      });
      while (thread == 0) {
        ::usleep(100);
      }
      until_state("self/task/" + std::to_string(thread), 'S');
      say("finalize %d", cpg_finalize(h));
      blocked.join();
    });
  }
  add("dispatch/blocking_on_another_thread", [] {
    const auto h = open_joined();
    the.loud = false;
    std::atomic<int> got{0};
    the.on_message = [&](cpg_handle_t of, void*, std::size_t) {
      if (++got == 2000) {
        cpg_finalize(of);
      }
    };
    std::thread one([h] { cpg_dispatch(h, CS_DISPATCH_BLOCKING); });
    for (int i = 0; i < 2000; ++i) {
      send(h, "x");
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (got < 2000 && std::chrono::steady_clock::now() < end) {
      ::usleep(1000);
    }
    one.join();
    say("messages %d", got.load());
  });
}

void add_fd() {
  add("fd/two_waiting_one_taken", [] {
    const auto h = open_joined();
    say("fd %s", state_of(fd_of(h)));
    make_wait(h, 2);
    for (int i = 0; i < 3; ++i) {
      say("fd %s", state_of(fd_of(h)));
      say("one %d", cpg_dispatch(h, CS_DISPATCH_ONE_NONBLOCKING));
    }
    say("fd %s", state_of(fd_of(h)));
  });
  add("fd/stays_the_same", [] {
    const auto h = open_joined();
    say("%s", fd_of(h) == fd_of(h) ? "same" : "another");
  });
  add("fd/readable_inside_the_callback_while_more_waits", [] {
    const auto h = open_joined();
    make_wait(h, 2);
    the.on_message = [](cpg_handle_t of, void*, std::size_t) { say("  fd %s", state_of(fd_of(of))); };
    say("one %d", cpg_dispatch(h, CS_DISPATCH_ONE));
    say("one %d", cpg_dispatch(h, CS_DISPATCH_ONE));
  });
}

}  // namespace

void add_dispatch() {
  add_dispatch_cases();
  add_fd();
}

}  // namespace conformance
