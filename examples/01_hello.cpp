// Join a group, multicast, hear it in order, leave. Prints:
//
//   view 1: 1 member
//   hello 1
//   hello 2
//   hello 3
//   left
#include <cstdio>
#include <string>

#include <cpgring/cpgring.hpp>

int main() {
  cpgring::embedded_service service;  // with corosync: no such line, and options.service stays "cpg"
  cpgring::engine engine;

  cpgring::callbacks calls;
  calls.on_view = [](cpgring::handle&, const cpgring::view& v) {
    if (!v.joined.empty()) {
      std::printf("view %d: %zu member\n", static_cast<int>(v.number), v.members.size());
    }
  };
  calls.on_message = [](cpgring::handle& h, const cpgring::message& m) {
    std::printf("%s\n", std::string(m.text()).c_str());
    if (m.text() == "hello 3") {
      h.leave();
    }
  };
  calls.on_state = [&](cpgring::handle& h, const cpgring::state_change& s) {
    if (s.to == cpgring::handle_state::joined) {
      for (int i = 1; i <= 3; ++i) {
        h.multicast("hello " + std::to_string(i));
      }
    } else if (s.to == cpgring::handle_state::left) {
      std::puts("left");
      engine.stop();
    } else if (s.cause != nullptr) {
      std::fprintf(stderr, "%s\n", s.cause->message().c_str());
      engine.stop();
    }
  };

  cpgring::handle_options options;
  options.service = service.name();
  options.group = "chat";
  if (auto opened = engine.open(options, calls); !opened) {
    std::fprintf(stderr, "%s\n", opened.error().message().c_str());
    return 1;
  }
  return engine.run() ? 0 : 1;
}
