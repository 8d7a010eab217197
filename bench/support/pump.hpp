// As many messages as go: multicast until the service takes no more, take what has come, and so on; the same loop on any side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cpgring::bench {

/// All handles in turn. Returns when `messages` have come back.
template <class Side>
void pump(Side& side, std::uint64_t messages, const std::string& payload) {
  const std::uint64_t until = side.received() + messages;
  std::uint64_t sent = 0;
  while (side.received() < until) {
    side.together([&] {
      while (sent < messages && side.multicast(static_cast<std::size_t>(sent % side.handles()), payload)) {
        ++sent;
      }
    });
    side.take_what_waits();
  }
}

}  // namespace cpgring::bench
