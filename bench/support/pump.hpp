// Sends as many messages as possible: multicasts until the service accepts no more, takes what has arrived,
// and repeats. The loop is the same for all sides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cpgring::bench {

/// Uses all handles in turn. Returns when `messages` messages have come back.
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
    side.take_pending();
  }
}

}  // namespace cpgring::bench
