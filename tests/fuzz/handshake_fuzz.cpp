// Any bytes as an answer to the handshake give an error with a text, or a connection, and leak no descriptor.
//
// Input: a byte of choices, the size of the pieces in which the answer arrives (2 bytes), and then either the
// whole answer, or its first 40 bytes and the three names, each up to a newline. A name may be replaced by
// that of an existing ring, whose word count comes from the input.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ipc/handshake.hpp"
#include "unit/ipc/fake_service.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

enum choice : unsigned { raw = 1, hang_up = 2, first_ring = 4, wrong_words = 32 };

void demand(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

/// The number of the next descriptor; it stays the same unless one is leaked or closed twice.
int next_descriptor() {
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(fd);
  return fd;
}

using rings = std::array<raw_ring, 3>;

std::string answer_of(unsigned choices, std::string_view text, rings& there) {
  if ((choices & raw) != 0) {
    return std::string(text.substr(0, 12328));
  }
  fake_answer a;
  std::copy_n(text.data(), std::min<std::size_t>(text.size(), 40), a.bytes.data());
  text.remove_prefix(std::min<std::size_t>(text.size(), 40));
  for (std::size_t i = 0; i < 3; ++i) {
    const auto name = text.substr(0, text.find('\n')).substr(0, fake_answer::name_bytes);
    text.remove_prefix(std::min(text.size(), name.size() + 1));
    const bool is_there = (choices & first_ring << i) != 0;
    a.name(fake_answer::names[i], is_there ? there[i].base() : std::string(name));
    there[i].set(cf::data_words,
                 (choices & wrong_words) != 0 ? static_cast<std::uint32_t>(name.size()) * 256 : 5120);
  }
  return std::string(a.text());
}

result<connection> outcome_of(fake_service& service, std::string_view bytes, std::size_t piece,
                              bool hangs_up) {
  auto h = handshake::begin(service.name(), 16384, false);
  demand(h && *h->advance() == handshake::step::wait_readable);
  service.accept();
  result<handshake::step> step = handshake::step::wait_readable;
  for (; !bytes.empty() && step && *step == handshake::step::wait_readable;
       bytes.remove_prefix(std::min(bytes.size(), piece))) {
    service.send(bytes.substr(0, piece));
    step = h->advance();
  }
  if (hangs_up) {
    service.hang_up();
    step = step ? h->advance() : step;
  }
  if (step && *step == handshake::step::done) {
    return h->finish();
  }
  demand(!step || !hangs_up);
  return fail(step ? error(errc::timeout, "no whole answer") : step.error());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static fake_service service;
  static rings there{raw_ring(20480), raw_ring(20480), raw_ring(20480)};
  if (size < 3) {
    return 0;
  }
  const int before = next_descriptor();
  const std::string bytes = answer_of(data[0], {reinterpret_cast<const char*>(data) + 3, size - 3}, there);
  {
    const auto made = outcome_of(service, bytes, data[1] + 256U * data[2] + 500U, (data[0] & hang_up) != 0);
    demand(made ? made->events().capacity_bytes() == 20480 : !made.error().text.empty());
  }
  service.hang_up();
  demand(next_descriptor() == before);
  for (const auto& ring : there) {
    demand(ring.get(cf::reference_count) == 1);
  }
  return 0;
}
