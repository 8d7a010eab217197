// A member on stock libcpg: joins a group, prints each event as a line, and acts as its arguments say.
//
//   member GROUP MEMBERS COUNT SIZE EXPECT END
//
// Waits until the group has MEMBERS members, multicasts COUNT messages of SIZE bytes, takes EXPECT messages
// in all (its own included), and ends: "leave" (and takes its own leave view), "finalize", or "stay" (until
// it is killed). "ask" prints the results of cpg_membership_get and an iteration before it finalizes.
//
//   view MEMBERS +JOINED/REASON -LEFT/REASON     pids
//   message PID SIZE HASH                        HASH: 64-bit FNV-1a over the payload
#include <poll.h>
#include <unistd.h>

#include <corosync/cpg.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

std::size_t members_now = 0;
long received = 0;
bool gone = false;

std::uint64_t hash(const void* data, std::size_t size) {
  std::uint64_t h = 1469598103934665603U;
  for (std::size_t i = 0; i < size; ++i) {
    h = (h ^ static_cast<const unsigned char*>(data)[i]) * 1099511628211U;
  }
  return h;
}

void deliver(cpg_handle_t, const cpg_name*, std::uint32_t, std::uint32_t pid, void* data, std::size_t size) {
  std::printf("message %u %zu %016llx\n", pid, size, static_cast<unsigned long long>(hash(data, size)));
  ++received;
}

void changed(cpg_handle_t, const cpg_name*, const cpg_address* members, std::size_t member_count,
             const cpg_address* left, std::size_t left_count, const cpg_address* joined,
             std::size_t joined_count) {
  std::printf("view");
  for (std::size_t i = 0; i < member_count; ++i) {
    std::printf(" %u", members[i].pid);
  }
  for (std::size_t i = 0; i < joined_count; ++i) {
    std::printf(" +%u/%u", joined[i].pid, joined[i].reason);
  }
  for (std::size_t i = 0; i < left_count; ++i) {
    std::printf(" -%u/%u", left[i].pid, left[i].reason);
    gone = gone || left[i].pid == static_cast<std::uint32_t>(::getpid());
  }
  std::printf("\n");
  members_now = member_count;
}

void must(cs_error_t code, const char* what) {
  if (code != CS_OK) {
    std::fprintf(stderr, "member: %s answered %d\n", what, static_cast<int>(code));
    std::exit(1);
  }
}

/// Waits at most `timeout_ms` for an event, and dispatches all that wait.
void take(cpg_handle_t handle, int timeout_ms) {
  int fd = -1;
  must(cpg_fd_get(handle, &fd), "cpg_fd_get");
  pollfd p{fd, POLLIN, 0};
  if (::poll(&p, 1, timeout_ms) < 1 && timeout_ms != 0) {
    std::fprintf(stderr, "member: nothing came\n");
    std::exit(1);
  }
  must(cpg_dispatch(handle, CS_DISPATCH_ALL), "cpg_dispatch");
  std::fflush(stdout);
}

void ask(cpg_handle_t handle, cpg_name* group) {
  std::vector<cpg_address> list(CPG_MEMBERS_MAX);
  int count = static_cast<int>(list.size());
  must(cpg_membership_get(handle, group, list.data(), &count), "cpg_membership_get");
  std::printf("members");
  for (int i = 0; i < count; ++i) {
    std::printf(" %u", list[static_cast<std::size_t>(i)].pid);
  }
  std::printf("\n");
  cpg_iteration_handle_t iteration = 0;
  must(cpg_iteration_initialize(handle, CPG_ITERATION_ALL, nullptr, &iteration), "cpg_iteration_initialize");
  cpg_iteration_description_t one;
  cs_error_t code;
  while ((code = cpg_iteration_next(iteration, &one)) == CS_OK) {
    std::printf("listed %.*s %u\n", static_cast<int>(one.group.length), one.group.value, one.pid);
  }
  std::printf("end %d\n", static_cast<int>(code));
  must(cpg_iteration_finalize(iteration), "cpg_iteration_finalize");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "member GROUP MEMBERS COUNT SIZE EXPECT leave|finalize|stay|ask\n");
    return 2;
  }
  const std::string end = argv[6];
  const auto wanted = static_cast<std::size_t>(std::atol(argv[2]));
  const long count = std::atol(argv[3]), expect = std::atol(argv[5]);
  std::vector<unsigned char> payload(static_cast<std::size_t>(std::atol(argv[4])));

  cpg_callbacks_t calls{deliver, changed};
  cpg_handle_t handle = 0;
  must(cpg_initialize(&handle, &calls), "cpg_initialize");
  cpg_name group{};
  group.length = static_cast<std::uint32_t>(std::strlen(argv[1]));
  std::memcpy(group.value, argv[1], group.length);
  must(cpg_join(handle, &group), "cpg_join");
  while (members_now < wanted) {
    take(handle, 60000);
  }
  for (long i = 0; i < count;) {
    for (std::size_t k = 0; k < payload.size(); ++k) {
      payload[k] = static_cast<unsigned char>(static_cast<unsigned long>(i) * 31 + k);
    }
    iovec part{payload.data(), payload.size()};
    const cs_error_t code = cpg_mcast_joined(handle, CPG_TYPE_AGREED, &part, 1);
    if (code == CS_OK) {
      ++i;
    } else if (code == CS_ERR_TRY_AGAIN || code == CS_ERR_INTERRUPT) {
      ::usleep(1000);
    } else {
      must(code, "cpg_mcast_joined");
    }
    take(handle, 0);
  }
  while (received < expect) {
    take(handle, 60000);
  }
  if (end == "ask") {
    ask(handle, &group);
  }
  if (end == "leave") {
    must(cpg_leave(handle, &group), "cpg_leave");
    while (!gone) {
      take(handle, 60000);
    }
  }
  while (end == "stay") {
    take(handle, 60000);
  }
  must(cpg_finalize(handle), "cpg_finalize");
  std::printf("done\n");
}
