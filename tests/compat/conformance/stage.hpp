// Shared by the cases: a handle whose callbacks print their events, another process in the group, and the
// list of cases.
//
// Each case runs in its own process and prints lines of text. Numbers that differ between runs are left out
// or replaced by names.
#pragma once

#include <corosync/cpg.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <string>

namespace conformance {

void say(const char* format, ...) __attribute__((format(printf, 1, 2)));

cpg_name name_of(const std::string& text);
extern const std::string group_text;
extern const cpg_name group;
std::string who(std::uint32_t pid);
std::string text_of(const void* bytes, std::size_t size);

/// Counts of events, and what callbacks do besides.
struct seen {
  int messages = 0, changes = 0, rings = 0;
  std::size_t bytes = 0;
  bool loud = true;
  std::function<void(cpg_handle_t, void*, std::size_t)> on_message;
};
extern seen the;

void deliver(cpg_handle_t handle, const cpg_name* to, std::uint32_t node, std::uint32_t pid, void* msg,
             std::size_t size);
void changed(cpg_handle_t handle, const cpg_name* of, const cpg_address* members, std::size_t member_count,
             const cpg_address* left, std::size_t left_count, const cpg_address* joined,
             std::size_t joined_count);
void ring_changed(cpg_handle_t handle, cpg_ring_id ring, std::uint32_t count, const std::uint32_t* nodes);

cpg_handle_t open_handle();
cpg_handle_t open_joined(const cpg_name& to = group);
int fd_of(cpg_handle_t h);
const char* state_of(int fd, int wait_ms = 0);
/// Dispatches until `done` returns true; false after ten seconds.
bool until(cpg_handle_t h, const std::function<bool()>& done);
// join() and leave() repeat the call for up to five seconds while it returns CS_ERR_TRY_AGAIN: a daemon
// without CPU time for a second forms its ring anew and takes no requests meanwhile.
cs_error_t join(cpg_handle_t h, const cpg_name* to);
cs_error_t leave(cpg_handle_t h, const cpg_name* from);
cs_error_t send(cpg_handle_t h, const std::string& text);
/// Returns when the service has delivered everything that was sent before.
void wait_for_deliveries(cpg_handle_t h);
/// Sends `count` messages and waits until all of them are in the ring.
void make_wait(cpg_handle_t h, int count, const std::string& prefix = "m");

/// Waits until that process ("17") or own thread ("self/task/17") is in the state `wanted`: S asleep, T
/// stopped.
bool until_state(const std::string& task, char wanted);

/// Another process in the group. Create it before the first handle, because it forks.
class other_member {
 public:
  other_member();
  ~other_member();
  other_member(const other_member&) = delete;
  other_member& operator=(const other_member&) = delete;
  /// `line`: "join", "leave" or "finalize"; any other text is multicast. Returns the result of the call.
  int ask(const std::string& line);
  void kill();

 private:
  static void serve();
  pid_t child_ = 0;
  FILE* to_ = nullptr;
  FILE* from_ = nullptr;
};

void add(const std::string& name, std::function<void()> run);
std::map<std::string, std::function<void()>>& cases();

void add_handles();
void add_groups();
void add_messages();
void add_dispatch();
void add_leaving();
void add_questions();
void add_other_processes();

}  // namespace conformance
