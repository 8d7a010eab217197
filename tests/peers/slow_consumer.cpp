// A typical program on stock libcpg: one thread, poll over all handles, dispatch ALL, and callbacks of which
// some take a second.
//
//   slow_consumer PREFIX GROUPS SLEEPS
//
// Joins PREFIX0 .. PREFIXn, each with its own handle, prints "ready", and takes messages until it is killed
// or none arrives for a minute. SLEEPS times, a second apart, a callback sleeps for a second.
#include <poll.h>
#include <unistd.h>

#include <corosync/cpg.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

int sleeps_left = 0;
std::size_t joined = 0;
clock_type::time_point next_sleep = clock_type::time_point::max();

void deliver(cpg_handle_t, const cpg_name*, std::uint32_t, std::uint32_t, void*, std::size_t) {
  if (sleeps_left > 0 && clock_type::now() >= next_sleep) {
    --sleeps_left;
    ::sleep(1);
    next_sleep = clock_type::now() + std::chrono::seconds(1);
  }
}

void changed(cpg_handle_t, const cpg_name*, const cpg_address*, std::size_t, const cpg_address*, std::size_t,
             const cpg_address* who, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    joined += who[i].pid == static_cast<std::uint32_t>(::getpid()) ? 1 : 0;
  }
}

void must(cs_error_t code, const char* what) {
  if (code != CS_OK) {
    std::fprintf(stderr, "slow_consumer: %s answered %d\n", what, static_cast<int>(code));
    std::exit(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "slow_consumer PREFIX GROUPS SLEEPS\n");
    return 2;
  }
  const auto groups = static_cast<std::size_t>(std::atol(argv[2]));
  sleeps_left = std::atoi(argv[3]);
  std::vector<cpg_handle_t> handles(groups);
  std::vector<pollfd> fds(groups);
  cpg_callbacks_t calls{deliver, changed};
  for (std::size_t i = 0; i < groups; ++i) {
    must(cpg_initialize(&handles[i], &calls), "cpg_initialize");
    const std::string name = argv[1] + std::to_string(i);
    cpg_name group{};
    group.length = static_cast<std::uint32_t>(name.size());
    std::memcpy(group.value, name.data(), name.size());
    must(cpg_join(handles[i], &group), "cpg_join");
    int fd = -1;
    must(cpg_fd_get(handles[i], &fd), "cpg_fd_get");
    fds[i] = {fd, POLLIN, 0};
  }
  bool said = false;
  while (::poll(fds.data(), fds.size(), 60000) > 0) {
    for (std::size_t i = 0; i < groups; ++i) {
      if (fds[i].revents != 0) {
        must(cpg_dispatch(handles[i], CS_DISPATCH_ALL), "cpg_dispatch");
      }
    }
    if (!said && joined == groups) {
      said = true;
      next_sleep = clock_type::now();
      std::printf("ready\n");
      std::fflush(stdout);
    }
  }
  return 0;
}
