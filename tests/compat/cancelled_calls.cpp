// pthread_cancel() of a thread that waits for a stopped service: the thread ends, and other threads can still
// use the handle. Usage: cancelled_calls CPGRING, where no service "cpg" runs, with our libcpg.so.4 and
// CPGRING_LIBCPG_DEADLINE_MS=0.
#include <pthread.h>
#include <time.h>

#include <atomic>
#include <cerrno>
#include <functional>

#include "stopped_service.hpp"

namespace {

using namespace stopped;

struct call {
  const char* what;
  void (*make)(cpg_handle_t);
};

cpg_iteration_handle_t iteration = 0;  // begun while the service runs

const call calls[] = {
    {"cpg_initialize",
     [](cpg_handle_t) {
       cpg_handle_t other = 0;
       cpg_callbacks_t none{};
       cpg_initialize(&other, &none);
     }},
    {"cpg_leave", [](cpg_handle_t h) { cpg_leave(h, &group); }},
    {"cpg_membership_get",
     [](cpg_handle_t h) {
       cpg_address list[CPG_MEMBERS_MAX];
       int count = CPG_MEMBERS_MAX;
       cpg_name n = group;
       cpg_membership_get(h, &n, list, &count);
     }},
    {"cpg_local_get",
     [](cpg_handle_t h) {
       unsigned int node = 0;
       cpg_local_get(h, &node);
     }},
    {"cpg_mcast_joined, in fragments", [](cpg_handle_t h) { send(h, 3000000); }},
    {"cpg_iteration_initialize",
     [](cpg_handle_t h) {
       cpg_iteration_handle_t i = 0;
       cpg_iteration_initialize(h, CPG_ITERATION_ALL, nullptr, &i);
     }},
    {"cpg_iteration_next",
     [](cpg_handle_t) {
       cpg_iteration_description_t d;
       cpg_iteration_next(iteration, &d);
     }},
    {"cpg_iteration_finalize", [](cpg_handle_t) { cpg_iteration_finalize(iteration); }},
    {"cpg_dispatch, blocking", [](cpg_handle_t h) { cpg_dispatch(h, CS_DISPATCH_BLOCKING); }},
};

class thread {
 public:
  explicit thread(std::function<void()> body) : body_(std::move(body)) {
    ::pthread_create(
        &thread_, nullptr,
        [](void* self) -> void* {
          static_cast<thread*>(self)->tid_ = ::gettid();
          static_cast<thread*>(self)->body_();
          return nullptr;
        },
        this);
  }
  /// Returns when the thread waits in the kernel. The service is stopped, so the thread keeps waiting.
  void until_it_waits() const {
    for (int quiet = 0; quiet < 20; ::usleep(1000)) {
      std::ifstream file("/proc/self/task/" + std::to_string(tid_) + "/stat");
      std::string pid, name;
      char state = 0;
      quiet = file >> pid >> name >> state && state == 'S' ? quiet + 1 : 0;
    }
  }
  void cancel() { ::pthread_cancel(thread_); }
  /// Waits up to 60 s for the thread to end, and checks that it was cancelled.
  void expect_cancelled(const char* what) {
    timespec until{};
    ::clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    void* how = nullptr;
    if (const int code = ::pthread_timedjoin_np(thread_, &how, &until); code != 0) {
      complain(what, "the thread does not end");
      std::_Exit(1);
    }
    if (how != PTHREAD_CANCELED) {
      complain(what, "the call returned");
    }
  }

 private:
  std::function<void()> body_;
  pthread_t thread_{};
  std::atomic<pid_t> tid_{0};
};

int messages = 0;
void count(cpg_handle_t, const cpg_name*, std::uint32_t, std::uint32_t, void*, std::size_t size) {
  messages += size == 7 ? 1 : 0;
}

/// Checks that a query is answered, a message is delivered, and the handle can be finalized.
void expect_good(const char* what, cpg_handle_t h, bool still_member) {
  unsigned int node = 0;
  if (cpg_local_get(h, &node) != CS_OK) {
    complain(what, "the next query is not answered");
  }
  messages = 0;
  if (still_member) {
    if (send(h, 7) != CS_OK) {
      complain(what, "the next message is refused");
    }
    for (int i = 0; i < 600 && messages == 0; ++i) {
      pollfd readable{-1, POLLIN, 0};
      if (cpg_fd_get(h, &readable.fd) == CS_OK && ::poll(&readable, 1, 100) == 1) {
        cpg_dispatch(h, CS_DISPATCH_ALL);
      }
    }
    if (messages != 1) {
      complain(what, "the next message does not arrive");
    }
  }
  if (cpg_finalize(h) != CS_OK || cpg_finalize(h) != CS_ERR_BAD_HANDLE) {
    complain(what, "the handle can't be finalized");
  }
}

void cancel_each_call(const char* cpgring) {
  for (const call& one : calls) {
    const service own(cpgring);
    const cpg_handle_t h = open_joined(count);
    if (cpg_iteration_initialize(h, CPG_ITERATION_ALL, nullptr, &iteration) != CS_OK) {
      complain(one.what, "no iteration");
    }
    own.stop();
    thread waits([&] { one.make(h); });
    waits.until_it_waits();
    waits.cancel();
    waits.expect_cancelled(one.what);
    own.resume();
    expect_good(one.what, h, one.make != calls[1].make);
    std::printf("%s\n", one.what);
  }
}

/// Two threads use the same handle: the second waits for the first.
void cancel_behind_another(const char* cpgring) {
  constexpr const char* what = "cpg_local_get, behind another thread's";
  const service own(cpgring);
  const cpg_handle_t h = open_joined(count);
  own.stop();
  const auto ask = [h] {
    unsigned int node = 0;
    cpg_local_get(h, &node);
  };
  thread first(ask);
  first.until_it_waits();
  thread second(ask);
  second.until_it_waits();
  second.cancel();
  second.expect_cancelled(what);
  first.cancel();
  first.expect_cancelled(what);
  own.resume();
  expect_good(what, h, true);
  std::printf("%s\n", what);
}

/// A handle is finalized even if its cpg_finalize() was cancelled.
void cancel_finalize(const char* cpgring) {
  constexpr const char* what = "cpg_finalize";
  const service own(cpgring);
  const cpg_handle_t h = open_joined(count);
  own.stop();
  thread dispatches([h] {
    if (cpg_dispatch(h, CS_DISPATCH_BLOCKING) != CS_ERR_BAD_HANDLE) {
      complain(what, "a blocked cpg_dispatch does not return CS_ERR_BAD_HANDLE");
    }
    ::pthread_exit(PTHREAD_CANCELED);
  });
  dispatches.until_it_waits();
  thread waits([h] { cpg_finalize(h); });
  waits.until_it_waits();
  waits.cancel();
  waits.expect_cancelled(what);
  dispatches.expect_cancelled(what);
  unsigned int node = 0;
  if (cpg_local_get(h, &node) != CS_ERR_BAD_HANDLE) {
    complain(what, "the handle still exists");
  }
  std::printf("%s\n", what);
}

}  // namespace

int main(int argc, char** argv) {
  const char* const deadline = std::getenv("CPGRING_LIBCPG_DEADLINE_MS");
  if (argc != 2 || deadline == nullptr || std::string(deadline) != "0" || on_stock()) {
    std::fprintf(stderr,
                 "cancelled_calls CPGRING, with CPGRING_LIBCPG_DEADLINE_MS=0 and our libcpg.so.4 loaded\n");
    return 64;
  }
  cancel_each_call(argv[1]);
  cancel_behind_another(argv[1]);
  cancel_finalize(argv[1]);
  return failed ? 1 : 0;
}
