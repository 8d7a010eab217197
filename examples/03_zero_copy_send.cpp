// Write a message where it is read from: in the request ring. Prints:
//
//   100 numbers, sum 4950
#include <cstdint>
#include <cstdio>
#include <cstring>

#include <cpgring/cpgring.hpp>

int main() {
  cpgring::embedded_service service;
  cpgring::engine engine;

  cpgring::callbacks calls;
  calls.on_state = [&](cpgring::handle& h, const cpgring::state_change& s) {
    if (s.to != cpgring::handle_state::joined) {
      return;
    }
    auto room = h.reserve(100 * sizeof(std::uint32_t));
    if (!room) {
      std::fprintf(stderr, "%s\n", room.error().message().c_str());
      return engine.stop();
    }
    for (std::uint32_t i = 0; i < 100; ++i) {
      std::memcpy(room->bytes().data() + i * sizeof i, &i, sizeof i);
    }
    room->commit();
  };
  calls.on_message = [&](cpgring::handle&, const cpgring::message& m) {
    std::uint32_t sum = 0;
    const auto numbers = m.bytes().size() / sizeof sum;
    for (std::size_t i = 0; i < numbers; ++i) {
      std::uint32_t one = 0;
      std::memcpy(&one, m.bytes().data() + i * sizeof one, sizeof one);  // 4-byte aligned, where the service wrote it
      sum += one;
    }
    std::printf("%zu numbers, sum %u\n", numbers, sum);
    engine.stop();
  };

  cpgring::handle_options options;
  options.service = service.name();
  options.group = "numbers";
  return engine.open(options, calls) && engine.run() ? 0 : 1;
}
