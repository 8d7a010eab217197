// Sends without a copy: writes the message directly into the request ring. Prints:
//
//   100 numbers, sum 4950
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

#include <cpgring/cpgring.hpp>
#include <cpgring/service.hpp>

int main() {
  cpgring::embedded_service service;
  cpgring::engine engine;
  int exit_code = 1;  // 0 once everything has succeeded
  const auto give_up = [&](const cpgring::error& why) {
    std::fprintf(stderr, "%s\n", why.message().c_str());
    engine.stop();
  };

  cpgring::callbacks calls;
  calls.on_state = [&](cpgring::handle& h, const cpgring::state_change& s) {
    if (s.cause != nullptr) {
      return give_up(*s.cause);
    }
    if (s.to != cpgring::handle_state::joined) {
      return;
    }
    auto room = h.reserve(100 * sizeof(std::uint32_t));
    if (!room) {
      return give_up(room.error());
    }
    for (std::uint32_t i = 0; i < 100; ++i) {
      std::memcpy(room->bytes().data() + i * sizeof i, &i, sizeof i);
    }
    if (auto sent = room->commit(); !sent) {
      give_up(sent.error());
    }
  };
  calls.on_message = [&](cpgring::handle&, const cpgring::message& m) {
    std::uint32_t sum = 0;
    const auto numbers = m.bytes().size() / sizeof sum;
    for (std::size_t i = 0; i < numbers; ++i) {
      std::uint32_t one = 0;
      // memcpy, because a message is aligned to 4 bytes only.
      std::memcpy(&one, m.bytes().data() + i * sizeof one, sizeof one);
      sum += one;
    }
    std::printf("%zu numbers, sum %u\n", numbers, sum);
    exit_code = 0;
    engine.stop();
  };

  cpgring::handle_options options;
  options.service = service.name();
  options.group = "numbers";
  if (auto opened = engine.open(options, std::move(calls)); !opened) {
    give_up(opened.error());
  } else if (auto ran = engine.run(); !ran) {
    give_up(ran.error());
  }
  return exit_code;
}
