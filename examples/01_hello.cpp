// Joins a group, multicasts, receives the messages in order, leaves. Prints:
//
//   view 1: 1 member
//   hello 1
//   hello 2
//   hello 3
//   left
#include <cstdio>
#include <string>
#include <utility>

#include <cpgring/cpgring.hpp>
#include <cpgring/service.hpp>

int main() {
  cpgring::embedded_service service;  // with corosync: omit this line and leave options.service at "cpg"
  cpgring::engine engine;
  int exit_code = 1;  // 0 once everything has succeeded
  const auto give_up = [&](const cpgring::error& why) {
    std::fprintf(stderr, "%s\n", why.message().c_str());
    engine.stop();
  };

  cpgring::callbacks calls;
  calls.on_view = [](cpgring::handle&, const cpgring::view& v) {
    if (!v.joined.empty()) {
      std::printf("view %d: %zu member\n", static_cast<int>(v.number), v.members.size());
    }
  };
  calls.on_message = [&](cpgring::handle& h, const cpgring::message& m) {
    std::printf("%s\n", std::string(m.text()).c_str());
    if (m.text() != "hello 3") {
      return;
    }
    if (auto leaving = h.leave(); !leaving) {
      give_up(leaving.error());
    }
  };
  calls.on_state = [&](cpgring::handle& h, const cpgring::state_change& s) {
    if (s.to == cpgring::handle_state::joined) {
      for (int i = 1; i <= 3; ++i) {
        if (auto sent = h.multicast("hello " + std::to_string(i)); !sent) {
          return give_up(sent.error());
        }
      }
    } else if (s.to == cpgring::handle_state::left) {
      std::puts("left");
      exit_code = 0;
      engine.stop();
    } else if (s.cause != nullptr) {
      give_up(*s.cause);
    }
  };

  cpgring::handle_options options;
  options.service = service.name();
  options.group = "chat";
  if (auto opened = engine.open(options, std::move(calls)); !opened) {
    give_up(opened.error());
  } else if (auto ran = engine.run(); !ran) {
    give_up(ran.error());
  }
  return exit_code;
}
