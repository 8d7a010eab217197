// Preloaded into a CPG service (corosync, cpgring serve): counts the doorbell bytes that its libqb sends, and
// can set libqb's count of owed bytes ahead, as after months of traffic to a client that never reads its
// socket.
//
//   CPGRING_DOORBELL_FILE    a file of sizeof(doorbell_figures); the figures are kept there
// CPGRING_DOORBELL_AHEAD   added to the count when a socket refuses its first byte; 0: not added
//
// libqb sends one byte for each event, and passes the address of the count as the buffer of that byte. It
// sends owed bytes later in one call, whose length is the count. That call is shortened by the added number,
// and its success is reported in full length, so that the count falls.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "preload/doorbell_figures.hpp"

namespace {

using send_function = ssize_t (*)(int, const void*, size_t, int);

constexpr std::size_t handshake_bytes = 12328;  // libqb's answer to a new client uses the same call

struct counter {
  counter() noexcept : real(reinterpret_cast<send_function>(::dlsym(RTLD_NEXT, "send"))) {
    const char* const name = ::program_invocation_short_name;
    const char* const file = std::getenv("CPGRING_DOORBELL_FILE");
    if (file == nullptr || (std::strcmp(name, "corosync") != 0 && std::strcmp(name, "cpgring") != 0)) {
      return;
    }
    const int fd = ::open(file, O_RDWR | O_CLOEXEC);
    void* const at = ::mmap(nullptr, sizeof(doorbell_figures), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    figures = at == MAP_FAILED ? nullptr : static_cast<doorbell_figures*>(at);
    const char* const set = std::getenv("CPGRING_DOORBELL_AHEAD");
    ahead = set == nullptr ? 0 : static_cast<std::int32_t>(std::atol(set));
  }
  send_function real;
  doorbell_figures* figures = nullptr;
  std::int32_t ahead = 0;
};

counter& the_counter() {
  static counter one;
  return one;
}

}  // namespace

extern "C" ssize_t send(int fd, const void* data, size_t bytes, int flags) {
  counter& c = the_counter();
  if (c.figures == nullptr || (flags & MSG_NOSIGNAL) == 0 || bytes == handshake_bytes) {
    return c.real(fd, data, bytes, flags);
  }
  const bool set_ahead = c.ahead > 0 && bytes >= static_cast<std::size_t>(c.ahead);
  const std::size_t owed = set_ahead ? bytes - static_cast<std::size_t>(c.ahead) : bytes;
  c.figures->sends += 1;
  if (owed > c.figures->longest) {
    c.figures->longest = owed;
  }
  const ssize_t sent = c.real(fd, data, owed, flags);
  if (sent < 0 && errno == EAGAIN && bytes == 1) {
    c.figures->refused += 1;
    if (c.ahead > 0) {
      *static_cast<std::int32_t*>(const_cast<void*>(data)) = c.ahead;
    }
    errno = EAGAIN;
  }
  if (sent > 0 && owed > 1) {
    c.figures->repaid += 1;
  }
  return set_ahead && sent == static_cast<ssize_t>(owed) ? static_cast<ssize_t>(bytes) : sent;
}
