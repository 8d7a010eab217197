// Drives the engine from a foreign event loop: its descriptor is one among others. Prints:
//
//   tick
//   tick 1 came back
//   tick
//   tick 2 came back
#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

#include <cpgring/cpgring.hpp>
#include <cpgring/service.hpp>

int main() {
  cpgring::embedded_service service;
  cpgring::engine engine;
  int heard = 0;
  bool lost = false;

  cpgring::callbacks calls;
  calls.on_state = [&](cpgring::handle&, const cpgring::state_change& s) {
    if (s.cause != nullptr) {
      std::fprintf(stderr, "%s\n", s.cause->message().c_str());
      lost = true;
    }
  };
  calls.on_message = [&](cpgring::handle&, const cpgring::message& m) {
    std::printf("%s came back\n", std::string(m.text()).c_str());
    ++heard;
  };
  cpgring::handle_options options;
  options.service = service.name();
  options.group = "ticks";
  auto handle = engine.open(options, std::move(calls));
  auto fd = engine.fd();
  const int timer = ::timerfd_create(CLOCK_MONOTONIC, 0);
  const itimerspec every{{0, 50000000}, {0, 50000000}};
  if (!handle || !fd || timer < 0 || ::timerfd_settime(timer, 0, &every, nullptr) != 0) {
    return 1;
  }

  pollfd fds[] = {{*fd, POLLIN, 0}, {timer, POLLIN, 0}};
  int sent = 0;
  while (heard < 2 && !lost) {
    ::poll(fds, 2, -1);
    if (fds[0].revents != 0) {
      if (auto taken = engine.poll_once(); !taken) {  // takes all that waits, never blocks
        std::fprintf(stderr, "%s\n", taken.error().message().c_str());
        return 1;
      }
    }
    std::uint64_t times = 0;
    if (fds[1].revents != 0 && ::read(timer, &times, sizeof times) > 0 && sent == heard && sent < 2 &&
        handle->multicast("tick " + std::to_string(sent + 1))) {  // fails until the handle has joined
      std::puts("tick");
      ++sent;
    }
  }
  ::close(timer);
  return lost ? 1 : 0;
}
