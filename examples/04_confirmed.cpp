// A replicated log: an entry counts once it has come back in total order. One coroutine does it all. Prints:
//
//   entry 1 is number 1 of the log
//   entry 2 is number 2 of the log
//   entry 3 is number 3 of the log
//   entry 4 was not sent
#include <cstdio>
#include <string>
#include <utility>

#include <cpgring/cpgring.hpp>
#include <cpgring/service.hpp>

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

fire_and_forget append(cpgring::handle log, cpgring::engine& engine, int& exit_code) {
  for (int i = 1; i <= 4; ++i) {
    const auto entry = "entry " + std::to_string(i);
    if (i == 4) {
      log.close();  // requests from now on fail
    }
    const auto done = co_await cpgring::awaitable_multicast(log, entry, 10s);
    if (done) {
      std::printf("%s is number %d of the log\n", entry.c_str(), static_cast<int>(done.sequence));
    } else if (done.fate == cpgring::multicast_fate::unknown) {
      std::printf("%s may be in the log, or not: read it before sending that again\n", entry.c_str());
    } else {
      std::printf("%s was not sent\n", entry.c_str());  // done.cause says why
    }
  }
  exit_code = 0;
  engine.stop();
}

int main() {
  cpgring::embedded_service service;  // with corosync: omit this line and leave options.service at "cpg"
  cpgring::engine engine;
  int exit_code = 1;  // 0 once everything has succeeded
  const auto give_up = [&](const cpgring::error& why) {
    std::fprintf(stderr, "%s\n", why.message().c_str());
    engine.stop();
  };

  cpgring::callbacks calls;
  calls.on_state = [&](cpgring::handle& h, const cpgring::state_change& s) {
    if (s.to == cpgring::handle_state::joined) {
      append(h, engine, exit_code);
    } else if (s.cause != nullptr) {
      give_up(*s.cause);
    }
  };
  cpgring::handle_options options;
  options.service = service.name();
  options.group = "log";
  if (auto opened = engine.open(options, std::move(calls)); !opened) {
    give_up(opened.error());
  } else if (auto ran = engine.run(); !ran) {
    give_up(ran.error());
  }
  return exit_code;
}
