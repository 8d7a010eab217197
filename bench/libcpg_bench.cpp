// Our libcpg.so.4 against the stock one: the same program, both libraries loaded into it, alternating.
//
//   scripts/with-corosync -- build/release/bench/libcpg_bench [--repetitions N] [--only PART]
#include <corosync/cpg.h>

#include <dlfcn.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "support/arguments.hpp"
#include "support/cpu_time.hpp"
#include "support/pairs.hpp"

namespace {

using namespace cpgring::bench;

/// The functions of one library.
struct library {
  explicit library(const char* path) : file(::dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
    if (file == nullptr) {
      throw std::runtime_error(::dlerror());
    }
    load(initialize, "cpg_initialize");
    load(finalize, "cpg_finalize");
    load(join, "cpg_join");
    load(fd_get, "cpg_fd_get");
    load(dispatch, "cpg_dispatch");
    load(mcast, "cpg_mcast_joined");
    load(local_get, "cpg_local_get");
  }
  template <class Function>
  void load(Function& into, const char* name) {
    into = reinterpret_cast<Function>(::dlsym(file, name));
    if (into == nullptr) {
      throw std::runtime_error(fmt::format("no {} in the library", name));
    }
  }
  void* file;
  decltype(&::cpg_initialize) initialize;
  decltype(&::cpg_finalize) finalize;
  decltype(&::cpg_join) join;
  decltype(&::cpg_fd_get) fd_get;
  decltype(&::cpg_dispatch) dispatch;
  decltype(&::cpg_mcast_joined) mcast;
  decltype(&::cpg_local_get) local_get;
};

void must(cs_error_t code, const char* what) {
  if (code != CS_OK) {
    throw std::runtime_error(fmt::format("{} answered {}", what, static_cast<int>(code)));
  }
}

std::uint64_t received = 0, views = 0;
char payload[64] = "sixty-four bytes";

class side {
 public:
  side(const library& with, const char* stem, std::size_t handles) : lib_(with), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    cpg_callbacks_t calls{[](cpg_handle_t, const cpg_name*, std::uint32_t, std::uint32_t, void*, std::size_t) { ++received; },
                          [](cpg_handle_t, const cpg_name*, const cpg_address*, std::size_t, const cpg_address*, std::size_t,
                             const cpg_address*, std::size_t) { ++views; }};
    for (std::size_t i = 0; i < handles; ++i) {
      cpg_handle_t h = 0;
      again([&] { return lib_.initialize(&h, &calls); }, "cpg_initialize");
      handles_.push_back(h);
      cpg_name name{};
      const std::string text = fmt::format("{}-{}-{}", stem, ::getpid(), i);
      name.length = static_cast<std::uint32_t>(text.size());
      std::memcpy(name.value, text.data(), text.size());
      again([&] { return lib_.join(h, &name); }, "cpg_join");
      int fd = -1;
      must(lib_.fd_get(h, &fd), "cpg_fd_get");
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = h;
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    }
    for (const auto until = views + handles; views < until;) {
      wait_and(CS_DISPATCH_ALL);
    }
  }
  ~side() {
    for (const auto h : handles_) {
      lib_.finalize(h);
    }
    ::close(epoll_);
  }
  side(const side&) = delete;
  side& operator=(const side&) = delete;

  void send(std::size_t index) {
    const iovec part{payload, sizeof payload};
    again([&] { return lib_.mcast(handles_[index], CPG_TYPE_AGREED, &part, 1); }, "cpg_mcast_joined");
  }
  void fill(std::size_t each) {
    for (std::size_t round = 0; round < each; ++round) {
      for (std::size_t i = 0; i < handles_.size(); ++i) {
        send(i);
      }
    }
    // The service has handed all of it out when it has answered this a few times.
    for (int i = 0; i < 20; ++i) {
      ask();
      ::usleep(500);
    }
  }
  void ask() {
    unsigned node = 0;
    again([&] { return lib_.local_get(handles_[0], &node); }, "cpg_local_get");
  }
  void take(std::uint64_t events, cs_dispatch_flags_t how) {
    for (const auto until = received + events; received < until;) {
      wait_and(how);
    }
  }

 private:
  template <class Call>
  void again(Call&& call, const char* what) {
    cs_error_t code = CS_ERR_TRY_AGAIN;
    for (int attempt = 0; attempt < 20000 && (code = call()) == CS_ERR_TRY_AGAIN; ++attempt) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    must(code, what);
  }
  void wait_and(cs_dispatch_flags_t how) {
    epoll_event ready[256];
    const int count = ::epoll_wait(epoll_, ready, 256, -1);
    for (int i = 0; i < count; ++i) {
      lib_.dispatch(ready[i].data.u64, how);
    }
  }
  const library& lib_;
  int epoll_;
  std::vector<cpg_handle_t> handles_;
};

template <class What>
sample timed(double events, What&& what) {
  const auto began = std::chrono::steady_clock::now();
  const double cpu = thread_cpu_seconds();
  what();
  const double used = thread_cpu_seconds() - cpu;
  return {used, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(), events};
}

struct scenario {
  const char* name;
  std::size_t handles, waiting;
  cs_dispatch_flags_t how;
  double at_least;
};

}  // namespace

int main(int argc, char** argv) {
  arguments args(argc, argv);
  const int repetitions = args.number("--repetitions", 9);
  const std::string only = args.text("--only", "");
  args.done();
  raise_descriptor_limit();
  // In this order: a name without a path means whatever of that name has been loaded already.
  const library stock("libcpg.so.4"), ours(CPGRING_LIBCPG);
  if (stock.dispatch == ours.dispatch) {
    throw std::runtime_error("both are the same library; is LD_LIBRARY_PATH set?");
  }
  pairs table("event");
  const auto wanted = [&only](const std::string& name) { return only.empty() || name.find(only) != std::string::npos; };
  const scenario all[] = {
      {"all, 1 x 1000", 1, 1000, CS_DISPATCH_ALL, 2.5}, {"all, 1 x 20", 1, 20, CS_DISPATCH_ALL, 1},
      {"all, 100 x 200", 100, 200, CS_DISPATCH_ALL, 1}, {"all, 1000 x 20", 1000, 20, CS_DISPATCH_ALL, 1},
      {"one, 1 x 1000", 1, 1000, CS_DISPATCH_ONE, 1},   {"one, 100 x 200", 100, 200, CS_DISPATCH_ONE, 1},
      {"one, 1 x 1", 1, 1, CS_DISPATCH_ONE, 1},
  };
  for (const scenario& s : all) {
    if (!wanted(s.name)) {
      continue;
    }
    side a(ours, "ours", s.handles), b(stock, "stock", s.handles);
    // One event at a time is many rounds of it, so that there is something to measure.
    const std::size_t rounds = s.waiting == 1 ? 2000 : 1;
    const auto run = [&](side& one) {
      if (rounds == 1) {
        one.fill(s.waiting);
        return timed(static_cast<double>(s.handles * s.waiting), [&] { one.take(s.handles * s.waiting, s.how); });
      }
      return timed(static_cast<double>(rounds), [&] {
        for (std::size_t i = 0; i < rounds; ++i) {
          one.send(0);
          one.take(1, s.how);
        }
      });
    };
    table.run(
        s.name, s.at_least, repetitions, [&] { return run(a); }, [&] { return run(b); });
  }
  if (wanted("send")) {
    side a(ours, "ours", 1), b(stock, "stock", 1);
    const auto run = [](side& one) {
      const sample s = timed(100, [&] {
        for (int i = 0; i < 100; ++i) {
          one.send(0);
        }
      });
      one.take(100, CS_DISPATCH_ALL);
      return s;
    };
    table.run(
        "send, 100 at a time", 1, repetitions * 20, [&] { return run(a); }, [&] { return run(b); });
  }
  if (wanted("ask")) {
    side a(ours, "ours", 1), b(stock, "stock", 1);
    const auto run = [](side& one) {
      return timed(200, [&] {
        for (int i = 0; i < 200; ++i) {
          one.ask();
        }
      });
    };
    table.run(
        "ask, cpg_local_get", 1, repetitions, [&] { return run(a); }, [&] { return run(b); });
  }
  return table.print() ? 0 : 1;
}
