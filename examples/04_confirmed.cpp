// A replicated log: an entry counts once it has come back in total order. One coroutine, no state machine. Prints:
//
//   entry 1 is number 1 of the log
//   entry 2 is number 2 of the log
//   entry 3 is number 3 of the log
//   the service is gone: entry 4 may be in the log
#include <cstdio>
#include <memory>
#include <string>

#include <cpgring/cpgring.hpp>

using namespace std::chrono_literals;

struct fire_and_forget {
  struct promise_type {
    fire_and_forget get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};

fire_and_forget append(cpgring::handle log, cpgring::engine& engine, std::unique_ptr<cpgring::embedded_service>& service) {
  for (int i = 1; i <= 4; ++i) {
    const auto entry = "entry " + std::to_string(i);
    if (i == 4) {
      service.reset();  // the night falls
    }
    const auto done = co_await cpgring::awaitable_multicast(log, entry, 10s);
    if (done) {
      std::printf("%s is number %d of the log\n", entry.c_str(), static_cast<int>(done.sequence));
    } else if (done.fate == cpgring::multicast_fate::unknown) {
      std::printf("the service is gone: %s may be in the log\n", entry.c_str());
    } else {
      std::printf("%s was not sent: %s\n", entry.c_str(), done.cause->message().c_str());
    }
  }
  engine.stop();
}

int main() {
  auto service = std::make_unique<cpgring::embedded_service>();  // with corosync: no such line, and options.service stays "cpg"
  cpgring::engine engine;
  cpgring::callbacks calls;
  calls.on_state = [&](cpgring::handle& h, const cpgring::state_change& s) {
    if (s.to == cpgring::handle_state::joined) {
      append(h, engine, service);
    } else if (s.cause != nullptr && s.to != cpgring::handle_state::lost) {
      std::fprintf(stderr, "%s\n", s.cause->message().c_str());
      engine.stop();
    }
  };
  cpgring::handle_options options;
  options.service = service->name();
  options.group = "log";
  if (auto opened = engine.open(options, calls); !opened) {
    std::fprintf(stderr, "%s\n", opened.error().message().c_str());
    return 1;
  }
  return engine.run() ? 0 : 1;
}
