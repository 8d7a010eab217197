// Threads that leave a call without returning from it: by cancellation, by longjmp() or pthread_exit() in a
// callback; and calls interrupted by signals.
#include <pthread.h>
#include <setjmp.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include "stage.hpp"

namespace conformance {
namespace {

/// A thread that can be cancelled.
class cancellable {
 public:
  explicit cancellable(std::function<void()> body) : body_(std::move(body)) {
    ::pthread_create(
        &thread_, nullptr,
        [](void* self) -> void* {
          static_cast<cancellable*>(self)->tid_ = ::gettid();
          static_cast<cancellable*>(self)->body_();
          return nullptr;
        },
        this);
  }
  void until_asleep() const {
    while (tid_ == 0) {
      ::usleep(100);
    }
    until_state("self/task/" + std::to_string(tid_), 'S');
  }
  void cancel() { ::pthread_cancel(thread_); }
  void say_how_it_ends() {
    void* how = nullptr;
    ::pthread_join(thread_, &how);
    say("%s", how == PTHREAD_CANCELED ? "cancelled" : "ended by itself");
  }

 private:
  std::function<void()> body_;
  pthread_t thread_{};
  std::atomic<pid_t> tid_{0};
};

/// Prints whether the handle still works: a message is delivered back and finalize succeeds.
void say_still_good(cpg_handle_t h) {
  the.loud = false;
  const int before = the.messages;
  say("send %d", send(h, "still"));
  until(h, [before] { return the.messages > before; });
  say("messages %d", the.messages - before);
  say("finalize %d", cpg_finalize(h));
}

void add_cancel() {
  // Static: AddressSanitizer can't follow a thread that unwinds through the stock library and then through a
  // destructor of ours.
  static const std::string small = "x", large(std::size_t{3} << 20, 'x');
  using body = void (*)(cpg_handle_t);
  const std::map<std::string, body> calls{
      {"mcast", [](cpg_handle_t h) { send(h, small); }},
      {"large_mcast", [](cpg_handle_t h) { send(h, large); }},
      {"local_get",
       [](cpg_handle_t h) {
         unsigned node = 0;
         cpg_local_get(h, &node);
       }},
      {"membership_get",
       [](cpg_handle_t h) {
         cpg_name n = group;
         cpg_address list[CPG_MEMBERS_MAX];
         int count = CPG_MEMBERS_MAX;
         cpg_membership_get(h, &n, list, &count);
       }},
      {"initialize",
       [](cpg_handle_t) {
         cpg_callbacks_t calls{deliver, changed};
         cpg_handle_t other = 0;
         if (cpg_initialize(&other, &calls) == CS_OK) {
           cpg_finalize(other);
         }
       }},
      {"join",
       [](cpg_handle_t) {
         cpg_callbacks_t none{};
         cpg_handle_t other = 0;
         const cpg_name n = name_of(group_text + "-other");
         if (cpg_initialize(&other, &none) == CS_OK) {
           join(other, &n);
           cpg_finalize(other);
         }
       }},
  };
  for (const auto& [name, call] : calls) {
    add("cancel/amid_many_calls_of_" + name, [call = call] {
      const auto h = open_joined();
      std::atomic<int> begun{0};
      cancellable thread([&] {
        for (;;) {
          ++begun;
          call(h);
        }
      });
      while (begun < 20) {
        ::usleep(1000);
      }
      thread.cancel();
      thread.say_how_it_ends();
    });
  }
  for (const auto how : {CS_DISPATCH_BLOCKING, CS_DISPATCH_ONE}) {
    add("cancel/in_a_blocked_dispatch_of_" + std::to_string(how), [how] {
      const auto h = open_joined();
      cancellable thread([&] { cpg_dispatch(h, how); });
      thread.until_asleep();
      thread.cancel();
      thread.say_how_it_ends();
      say_still_good(h);
    });
  }
  add("cancel/switched_off", [] {
    const auto h = open_joined();
    std::atomic<bool> off{false}, asked{false};
    cancellable thread([&] {
      ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
      off = true;
      while (!asked) {
        ::usleep(1000);
      }
      unsigned node = 0;
      say("local_get %d", cpg_local_get(h, &node));
      say("send %d", send(h, "x"));
      ::pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
      ::pthread_testcancel();
    });
    while (!off) {
      ::usleep(1000);
    }
    thread.cancel();
    asked = true;
    thread.say_how_it_ends();
    until(h, [] { return the.messages == 1; });
    say_still_good(h);
  });
  add("cancel/in_a_callback", [] {
    const auto h = open_joined();
    make_wait(h, 1);
    // True once the callback has printed its line, so that the cancellation does not interrupt the output.
    static std::atomic<bool> inside{false};
    the.on_message = [](cpg_handle_t, void*, std::size_t) {
      inside = true;
      for (;;) {
        ::pause();
      }
    };
    cancellable thread([&] { cpg_dispatch(h, CS_DISPATCH_ALL); });
    while (!inside) {
      ::usleep(1000);
    }
    thread.cancel();
    thread.say_how_it_ends();
    the.on_message = nullptr;
    say_still_good(h);
  });
  add("cancel/exit_in_a_callback", [] {
    const auto h = open_joined();
    make_wait(h, 1);
    the.on_message = [](cpg_handle_t, void*, std::size_t) { ::pthread_exit(PTHREAD_CANCELED); };
    cancellable thread([&] { cpg_dispatch(h, CS_DISPATCH_ALL); });
    thread.say_how_it_ends();
    the.on_message = nullptr;
    say_still_good(h);
  });
}

// --- longjmp

jmp_buf out;
std::atomic<int> every{0};  // a callback leaves by longjmp() at every nth message; 0: never

/// Dispatches once. Returns true if a callback left by longjmp().
bool dispatch_or_jump(cpg_handle_t h, cs_dispatch_flags_t how) {
  if (setjmp(out) != 0) {
    return true;
  }
  cpg_dispatch(h, how);
  return false;
}

void jump_out_of_some() {
  the.loud = false;
  the.on_message = [](cpg_handle_t, void*, std::size_t) {
    if (every != 0 && the.messages % every == 0) {
      longjmp(out, 1);
    }
  };
}

/// Sends `total` messages and dispatches until all have arrived. Returns how many arrived.
int delivered(cpg_handle_t h, int total, std::size_t bytes, cs_dispatch_flags_t how) {
  int sent = 0, idle = 0, last = 0;
  const std::string text(bytes, 'x');
  iovec part{const_cast<char*>(text.data()), text.size()};
  while (the.messages < total && idle < 300) {
    for (int i = 0; i < 20 && sent < total && cpg_mcast_joined(h, CPG_TYPE_AGREED, &part, 1) == CS_OK; ++i) {
      ++sent;
    }
    if (std::strcmp(state_of(fd_of(h), 10), "readable") == 0) {
      dispatch_or_jump(h, how);
    }
    idle = the.messages == last ? idle + 1 : 0;
    last = the.messages;
  }
  return the.messages;
}

std::size_t descriptors() {
  const auto all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

void add_longjmp() {
  struct row {
    const char* name;
    int every, total;
    std::size_t bytes;
    cs_dispatch_flags_t how;
  };
  for (const row& one : {row{"each_of_20000", 1, 20000, 1000, CS_DISPATCH_ALL},
                         row{"each_100th_of_20000", 100, 20000, 1000, CS_DISPATCH_ALL},
                         row{"each_7th_taken_one_by_one", 7, 3000, 100, CS_DISPATCH_ONE},
                         row{"each_7th_taken_nonblocking", 7, 3000, 100, CS_DISPATCH_ONE_NONBLOCKING},
                         row{"each_of_half_a_mebibyte", 1, 200, 500000, CS_DISPATCH_ALL},
                         row{"each_of_many_fragments", 1, 20, 2500000, CS_DISPATCH_ALL}}) {
    add(std::string("longjmp/out_of_") + one.name, [one] {
      const auto h = open_joined();
      jump_out_of_some();
      every = one.every;
      say("delivered %d of %d", delivered(h, one.total, one.bytes, one.how), one.total);
      every = 0;
      say_still_good(h);
    });
  }
  add("longjmp/out_of_a_change", [] {
    static int changes = 0;
    cpg_callbacks_t calls{deliver, [](cpg_handle_t, const cpg_name*, const cpg_address*, std::size_t,
                                      const cpg_address*, std::size_t, const cpg_address*, std::size_t) {
                            ++changes;
                            longjmp(out, 1);
                          }};
    cpg_handle_t h = 0;
    say("initialize %d", cpg_initialize(&h, &calls));
    say("join %d", join(h, &group));
    state_of(fd_of(h), 10000);
    say("%s", dispatch_or_jump(h, CS_DISPATCH_ALL) ? "left" : "came back");
    say("changes %d", changes);
    say_still_good(h);
  });
  add("longjmp/out_of_a_dispatch_inside_a_callback", [] {
    const auto h = open_joined();
    make_wait(h, 4);
    the.on_message = [](cpg_handle_t of, void*, std::size_t) {
      if (the.messages == 1) {
        say("  inner %d", cpg_dispatch(of, CS_DISPATCH_ONE));
      } else if (the.messages == 2) {
        longjmp(out, 1);
      }
    };
    say("%s", dispatch_or_jump(h, CS_DISPATCH_ALL) ? "left" : "came back");
    until(h, [] { return the.messages == 4; });
    say_still_good(h);
  });
  add("longjmp/then_another_thread_dispatches", [] {
    const auto h = open_joined();
    jump_out_of_some();
    make_wait(h, 3);
    every = 1;
    say("%s", dispatch_or_jump(h, CS_DISPATCH_ALL) ? "left" : "came back");
    every = 0;
    std::thread([h] { until(h, [] { return the.messages == 3; }); }).join();
    say("messages %d", the.messages);
    say_still_good(h);
  });
  add("longjmp/then_finalize_frees_everything", [] {
    say_still_good(open_joined());  // opens what a process opens only once
    const std::size_t before = descriptors();
    const auto h = open_joined();
    jump_out_of_some();
    every = 1;
    delivered(h, the.messages + 10, 100, CS_DISPATCH_ALL);
    every = 0;
    say("finalize %d", cpg_finalize(h));
    say("again %d", cpg_finalize(h));
    say("descriptors left: %s", descriptors() > before ? "some" : "none");
  });
}

void add_interrupted() {
  add("initialize/under_many_signals", [] {
    struct sigaction handler {};
    handler.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &handler, nullptr);
    const itimerval storm{{0, 300}, {0, 300}};
    ::setitimer(ITIMER_REAL, &storm, nullptr);
    int refused = 0;
    for (int i = 0; i < 300; ++i) {
      cpg_callbacks_t none{};
      cpg_handle_t h = 0;
      if (cpg_initialize(&h, &none) == CS_OK) {
        cpg_finalize(h);
      } else {
        ++refused;
      }
    }
    const itimerval calm{};
    ::setitimer(ITIMER_REAL, &calm, nullptr);
    say("%s", refused == 0 ? "each of 300 succeeds" : "some of 300 fail");
  });
}

}  // namespace

void add_leaving() {
  add_cancel();
  add_longjmp();
  add_interrupted();
}

}  // namespace conformance
