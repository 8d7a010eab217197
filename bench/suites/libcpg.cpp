// Our libcpg.so.4 against the stock one: the same program, with both libraries loaded into it.
#include <dlfcn.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "cli/unique_name.hpp"
#include "peers/libcpg_member.hpp"
#include "suites/suite.hpp"
#include "support/alternate.hpp"
#include "support/clocks.hpp"
#include "support/results.hpp"

namespace cpgring::bench {
namespace {

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

std::uint64_t received = 0, views = 0;
char payload[64] = "sixty-four bytes";

class program {
 public:
  program(const library& with, const char* stem, std::size_t handles)
      : lib_(with), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    cpg_callbacks_t calls{
        [](cpg_handle_t, const cpg_name*, std::uint32_t, std::uint32_t, void*, std::size_t) { ++received; },
        [](cpg_handle_t, const cpg_name*, const cpg_address*, std::size_t, const cpg_address*, std::size_t,
           const cpg_address*, std::size_t) { ++views; }};
    const auto group = cli::unique_name(stem);
    for (std::size_t i = 0; i < handles; ++i) {
      cpg_handle_t h = 0;
      again([&] { return lib_.initialize(&h, &calls); }, "cpg_initialize");
      handles_.push_back(h);
      cpg_name name{};
      const std::string text = fmt::format("{}-{}", group, i);
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
  ~program() {
    for (const auto h : handles_) {
      lib_.finalize(h);
    }
    ::close(epoll_);
  }
  program(const program&) = delete;
  program& operator=(const program&) = delete;

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
    // Once it has answered this a few times, the service has delivered everything.
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

struct scenario {
  const char* name;
  std::size_t handles, waiting;
  cs_dispatch_flags_t how;
  double at_least;
};
constexpr scenario scenarios[] = {
    {"ALL, 1 x 1000", 1, 1000, CS_DISPATCH_ALL, 2.5}, {"ALL, 1 x 20", 1, 20, CS_DISPATCH_ALL, 1},
    {"ALL, 100 x 200", 100, 200, CS_DISPATCH_ALL, 1}, {"ALL, 1000 x 20", 1000, 20, CS_DISPATCH_ALL, 1},
    {"ONE, 1 x 1000", 1, 1000, CS_DISPATCH_ONE, 1},   {"ONE, 100 x 200", 100, 200, CS_DISPATCH_ONE, 1},
    {"ONE, 1 x 1", 1, 1, CS_DISPATCH_ONE, 1},
};

}  // namespace

void run_libcpg(const settings& s, results& r) {
  if (s.service_uid) {
    ::setenv("CPGRING_LIBCPG_SERVICE_UID", std::to_string(*s.service_uid).c_str(), 1);
  }
  // In this order: a name without a path finds any library of that name that is already loaded.
  const library stock("libcpg.so.4"), ours(CPGRING_LIBCPG);
  if (stock.dispatch == ours.dispatch) {
    throw std::runtime_error("both are the same library; is LD_LIBRARY_PATH set?");
  }
  const auto compare = [&](const std::string& name, std::size_t handles, double at_least, int repetitions,
                           const std::function<cost(program&)>& run) {
    if (!s.wanted(name)) {
      return;
    }
    program a(ours, "ours", handles), b(stock, "stock", handles);
    std::vector<double> us, them;
    alternate(
        name, repetitions,
        {{"ours", [&] { us.push_back(run(a).cpu_ns); }}, {"stock", [&] { them.push_back(run(b).cpu_ns); }}});
    r.want(name, "ns of CPU an event", better::lower, us, them, "stock libcpg.so.4", at_least);
  };
  const int repetitions = s.repeat(9, 3);
  for (const scenario& one : scenarios) {
    if (s.quick && one.handles == 1000) {
      continue;
    }
    // A single event is repeated, so that there is something to measure.
    const std::size_t rounds = one.waiting == 1 ? 2000 : 1;
    const auto events = one.handles * one.waiting;
    compare(one.name, one.handles, one.at_least, repetitions, [&, rounds, events](program& p) {
      if (rounds == 1) {
        p.fill(one.waiting);
        return cost_of(static_cast<double>(events), [&] { p.take(events, one.how); });
      }
      return cost_of(static_cast<double>(rounds), [&] {
        for (std::size_t i = 0; i < rounds; ++i) {
          p.send(0);
          p.take(1, one.how);
        }
      });
    });
  }
  compare("send, 100 at a time", 1, 1, repetitions * 20, [](program& p) {
    const cost c = cost_of(100, [&] {
      for (int i = 0; i < 100; ++i) {
        p.send(0);
      }
    });
    p.take(100, CS_DISPATCH_ALL);
    return c;
  });
  compare("cpg_local_get", 1, 1, repetitions, [](program& p) {
    return cost_of(200, [&] {
      for (int i = 0; i < 200; ++i) {
        p.ask();
      }
    });
  });
}

}  // namespace cpgring::bench
