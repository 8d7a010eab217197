#include "reactor/probe.hpp"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <fstream>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/limits.hpp"
#include "reactor/uring.hpp"
#include "reactor/wake_epoll.hpp"
#include "reactor/wake_futex.hpp"

namespace cpgring::reactor {
namespace {

void say(const log_callback& log, log_level level, const std::string& text) {
  if (log) {
    log(level, text);
  }
}

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

result<std::unique_ptr<wake_backend>> choose_backend(wakeup wanted, std::uint32_t expected_sources,
                                                     const log_callback& log) {
  // Each backend is tested with a real event before it is used: a sandbox may permit io_uring_setup and
  // refuse io_uring_enter.
  const bool any = wanted == wakeup::automatic;
  if (any || wanted == wakeup::futex) {
    auto made = wake_futex::create(expected_sources);
    if (made) {
      say(log, log_level::info, fmt::format("wake-up backend futex: io_uring with {}", (*made)->setup()));
      return std::unique_ptr<wake_backend>(std::move(*made));
    }
    if (!any) {
      return fail(error(made.error().code,
                        fmt::format("the wake-up backend futex was requested: {}", made.error().message())));
    }
    say(log, log_level::warning,
        fmt::format("wake-up backend futex is not used: {}", made.error().message()));
  }
  auto made = wake_epoll::create();
  if (!made) {
    return fail(made.error());
  }
  say(log, any ? log_level::warning : log_level::info,
      "wake-up backend epoll: works everywhere, costs a system call for each poll");
  return std::unique_ptr<wake_backend>(std::move(*made));
}

probe_report probe() {
  probe_report report;
  auto add = [&report](std::string line) { report.lines.push_back(std::move(line)); };
  utsname name{};
  if (::uname(&name) == 0) {
    add(fmt::format("kernel: {} {} {}", name.sysname, name.release, name.machine));
  }
  auto ring = uring::create(64, 128);
  if (!ring) {
    report.backend = wakeup::epoll;
    report.ring_setup = "refused";
    add("io_uring: " + ring.error().message());
    add("backend: epoll; for a better one, allow io_uring (see above)");
  } else {
    report.ring_setup = (*ring)->setup();
    add("io_uring set-up: " + report.ring_setup);
    if (report.ring_setup.find("DEFER_TASKRUN") == std::string::npos) {
      add("  for the best set-up: Linux 6.1 or newer (DEFER_TASKRUN)");
    }
    const std::string why = wake_futex::self_test(**ring);
    add(why.empty() ? std::string("futex wait on a semaphore: works, tested with a real sem_post")
                    : "futex wait on a semaphore: " + why);
    report.backend = why.empty() ? wakeup::futex : wakeup::epoll;
    add(fmt::format("backend: {}", to_string(report.backend)));
    if (report.backend != wakeup::futex) {
      add("  for the futex backend: Linux 6.7 or newer, glibc, and no seccomp filter that refuses it");
    }
  }
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    add(fmt::format("file descriptors: {} (hard limit {}); 1 for each handle", files.rlim_cur,
                    files.rlim_max));
  }
  add(fmt::format("vm.max_map_count: {}; {} mappings for each handle",
                  first_line("/proc/sys/vm/max_map_count"), base::mappings_per_handle));
  return report;
}

}  // namespace cpgring::reactor
