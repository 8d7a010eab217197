#include "stage.hpp"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace conformance {

void say(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::printf("\n");
  std::fflush(stdout);
}

cpg_name name_of(const std::string& text) {
  cpg_name n{};
  n.length = static_cast<std::uint32_t>(text.size());
  std::memcpy(n.value, text.data(), std::min(text.size(), sizeof n.value));
  return n;
}

const std::string group_text = "conformance-" + std::to_string(::getpid());
const cpg_name group = name_of(group_text);

namespace {

std::uint32_t other_pid = 0;  // 0: no other member yet

}  // namespace

std::string who(std::uint32_t pid) {
  if (pid == static_cast<std::uint32_t>(::getpid())) {
    return "me";
  }
  return pid == other_pid ? "other" : "somebody";
}

static std::string list_of(const cpg_address* list, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += (i != 0 ? " " : "") + who(list[i].pid) + "/" + std::to_string(list[i].reason);
  }
  return "[" + text + "]";
}

seen the;

std::string text_of(const void* bytes, std::size_t size) {
  std::string text(static_cast<const char*>(bytes), std::min<std::size_t>(size, 24));
  for (char& c : text) {
    c = c >= ' ' && c < 127 ? c : '.';
  }
  return text;
}

void deliver(cpg_handle_t handle, const cpg_name* to, std::uint32_t, std::uint32_t pid, void* msg,
             std::size_t size) {
  ++the.messages;
  the.bytes += size;
  if (the.loud) {
    say("  message from %s, %zu bytes '%s', group %s", who(pid).c_str(), size, text_of(msg, size).c_str(),
        to->length == group.length && std::memcmp(to->value, group.value, group.length) == 0 ? "right"
                                                                                             : "another");
  }
  if (the.on_message) {
    the.on_message(handle, msg, size);
  }
}

void changed(cpg_handle_t, const cpg_name*, const cpg_address* members, std::size_t member_count,
             const cpg_address* left, std::size_t left_count, const cpg_address* joined,
             std::size_t joined_count) {
  ++the.changes;
  if (the.loud) {
    say("  change: members %s left %s joined %s", list_of(members, member_count).c_str(),
        list_of(left, left_count).c_str(), list_of(joined, joined_count).c_str());
  }
}

void ring_changed(cpg_handle_t, cpg_ring_id, std::uint32_t count, const std::uint32_t*) {
  ++the.rings;
  if (the.loud) {
    say("  ring of %u", count);
  }
}

cpg_handle_t open_handle() {
  cpg_callbacks_t calls{deliver, changed};
  cpg_handle_t h = 0;
  const cs_error_t code = cpg_initialize(&h, &calls);
  if (code != CS_OK) {
    say("initialize %d", static_cast<int>(code));
  }
  return h;
}

int fd_of(cpg_handle_t h) {
  int fd = -1;
  cpg_fd_get(h, &fd);
  return fd;
}

const char* state_of(int fd, int wait_ms) {
  pollfd p{fd, POLLIN, 0};
  ::poll(&p, 1, wait_ms);
  return (p.revents & (POLLHUP | POLLERR)) != 0 ? "hung up"
         : (p.revents & POLLIN) != 0            ? "readable"
                                                : "quiet";
}

bool until(cpg_handle_t h, const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) {
      say("nothing came");
      return false;
    }
    state_of(fd_of(h), 100);
    if (const cs_error_t code = cpg_dispatch(h, CS_DISPATCH_ALL); code != CS_OK) {
      say("dispatch %d", static_cast<int>(code));
      return false;
    }
  }
  return true;
}

template <class Call>
cs_error_t again(Call call) {
  cs_error_t code = CS_ERR_TRY_AGAIN;
  for (int i = 0; i < 5000 && (code = call()) == CS_ERR_TRY_AGAIN; ++i) {
    ::usleep(1000);
  }
  return code;
}

cs_error_t join(cpg_handle_t h, const cpg_name* to) {
  return again([=] { return cpg_join(h, to); });
}

cs_error_t leave(cpg_handle_t h, const cpg_name* from) {
  return again([=] { return cpg_leave(h, from); });
}

cs_error_t send(cpg_handle_t h, const std::string& text) {
  const iovec part{const_cast<char*>(text.data()), text.size()};
  return again([&] { return cpg_mcast_joined(h, CPG_TYPE_AGREED, &part, 1); });
}

cpg_handle_t open_joined(const cpg_name& to) {
  const cpg_handle_t h = open_handle();
  const bool loud = std::exchange(the.loud, false);
  const int before = the.changes;
  const cs_error_t code = join(h, &to);
  if (code != CS_OK) {
    say("join %d", static_cast<int>(code));
  }
  until(h, [before] { return the.changes != before; });
  the.loud = loud;
  return h;
}

/// The answer to a query shows that the service has taken everything that was sent before. A message of
/// another handle that is sent after that is delivered last: by then all earlier ones are in every member's
/// ring.
void wait_for_deliveries(cpg_handle_t h) {
  unsigned node = 0;
  cpg_local_get(h, &node);
  static cpg_handle_t observer = 0;
  static bool joined = false, back = false;
  if (observer == 0) {
    cpg_callbacks_t calls{
        [](cpg_handle_t, const cpg_name*, std::uint32_t, std::uint32_t, void*, std::size_t) { back = true; },
        [](cpg_handle_t, const cpg_name*, const cpg_address*, std::size_t, const cpg_address*, std::size_t,
           const cpg_address*, std::size_t) { joined = true; }};
    cpg_initialize(&observer, &calls);
    const cpg_name own = name_of("observer-" + std::to_string(::getpid()));
    join(observer, &own);
    until(observer, [] { return joined; });
  }
  back = false;
  send(observer, "back");
  until(observer, [] { return back; });
}

void make_wait(cpg_handle_t h, int count, const std::string& prefix) {
  for (int i = 0; i < count; ++i) {
    send(h, prefix + std::to_string(i));
  }
  wait_for_deliveries(h);
}

// --- another process in the group

bool until_state(const std::string& task, char wanted) {
  for (int i = 0; i < 10000; ++i) {
    FILE* const file = std::fopen(("/proc/" + task + "/stat").c_str(), "r");
    char state = 0;
    const bool read = file != nullptr && std::fscanf(file, "%*d %*s %c", &state) == 1;
    if (file != nullptr) {
      std::fclose(file);
    }
    if (read && state == wanted) {
      return true;
    }
    ::usleep(1000);
  }
  return false;
}

other_member::other_member() {
  int to[2], from[2];
  if (::pipe(to) != 0 || ::pipe(from) != 0) {
    std::exit(3);
  }
  child_ = ::fork();
  if (child_ == 0) {
    ::dup2(to[0], 0);
    ::dup2(from[1], 1);
    ::close(to[1]);
    ::close(from[0]);
    serve();
    ::_exit(0);
  }
  ::close(to[0]);
  ::close(from[1]);
  to_ = ::fdopen(to[1], "w");
  from_ = ::fdopen(from[0], "r");
  other_pid = static_cast<std::uint32_t>(child_);
}

other_member::~other_member() {
  std::fclose(to_);
  std::fclose(from_);
  kill();
  ::waitpid(child_, nullptr, 0);
}

int other_member::ask(const std::string& line) {
  std::fprintf(to_, "%s\n", line.c_str());
  std::fflush(to_);
  int code = -1;
  return std::fscanf(from_, "%d", &code) == 1 ? code : -1;
}

void other_member::kill() { ::kill(child_, SIGKILL); }

void other_member::serve() {
  the.loud = false;
  cpg_handle_t h = 0;
  char line[256];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    const std::string text(line, std::strlen(line) - 1);
    int code = 0;
    if (text == "join") {
      h = open_handle();
      code = join(h, &group);
      until(h, [] { return the.changes != 0; });
    } else if (text == "leave") {
      code = leave(h, &group);
    } else if (text == "finalize") {
      code = cpg_finalize(h);
    } else {
      code = send(h, text);
    }
    std::printf("%d\n", code);
    std::fflush(stdout);
  }
}

std::map<std::string, std::function<void()>>& cases() {
  static std::map<std::string, std::function<void()>> all;
  return all;
}

void add(const std::string& name, std::function<void()> run) { cases()[name] = std::move(run); }

}  // namespace conformance
