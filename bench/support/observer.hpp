// Filling event rings, and knowing when the service has handed all of it out.
#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>
#include <thread>

#include "support/forked.hpp"

namespace cpgring::bench {

template <class Side>
void send_surely(Side& side, std::size_t index, std::string_view payload) {
  while (!side.multicast(index, payload)) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

/// `each` messages from every handle, which the service takes but nobody yet reads.
template <class Side>
void fill(Side& side, std::size_t each, std::string_view payload) {
  for (std::size_t round = 0; round < each; ++round) {
    for (std::size_t i = 0; i < side.handles(); ++i) {
      send_surely(side, i, payload);
    }
  }
}

/// A handle of libcpg's, whose messages come back behind everything that the service had taken before. In a process of its own: neither
/// side's code is warmer than the other's when its turn comes. Made before anything else.
class observer {
 public:
  observer();
  void wait_for_the_service();

 private:
  shared_semaphore asked_, answered_;
  forked process_;
};

}  // namespace cpgring::bench
