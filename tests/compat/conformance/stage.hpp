// What the cases share: a handle whose callbacks say what they see, another process in the group, and the list of cases.
//
// Each case is a process of its own. What it says is lines of text; numbers that differ from run to run are left out or named.
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

/// What callbacks saw, and what they are to do besides.
struct seen {
  int messages = 0, changes = 0, rings = 0;
  std::size_t bytes = 0;
  bool loud = true;
  std::function<void(cpg_handle_t, void*, std::size_t)> on_message;
};
extern seen the;

void deliver(cpg_handle_t handle, const cpg_name* to, std::uint32_t node, std::uint32_t pid, void* msg, std::size_t size);
void changed(cpg_handle_t handle, const cpg_name* of, const cpg_address* members, std::size_t member_count, const cpg_address* left,
             std::size_t left_count, const cpg_address* joined, std::size_t joined_count);
void ring_changed(cpg_handle_t handle, cpg_ring_id ring, std::uint32_t count, const std::uint32_t* nodes);

cpg_handle_t open_handle();
cpg_handle_t open_joined(const cpg_name& to = group);
int fd_of(cpg_handle_t h);
const char* state_of(int fd, int wait_ms = 0);
/// Dispatches until `done`; false: ten seconds went by.
bool until(cpg_handle_t h, const std::function<bool()>& done);
/// Tries again as long as it is told to.
cs_error_t send(cpg_handle_t h, const std::string& text);
/// Returns when the service has handed out everything that was sent before.
void settle(cpg_handle_t h);
/// Sends so many and waits until all of them wait in the ring.
void make_wait(cpg_handle_t h, int count, const std::string& prefix = "m");

/// Waits until that process ("17"), or thread of ours ("self/task/17"), is in this state: S asleep, T stopped.
bool until_state(const std::string& task, char wanted);

/// Another process in the group. Make it before the first handle.
class other_member {
 public:
  other_member();
  ~other_member();
  other_member(const other_member&) = delete;
  other_member& operator=(const other_member&) = delete;
  /// "join", "leave", "finalize"; anything else is sent. What the call answered.
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
