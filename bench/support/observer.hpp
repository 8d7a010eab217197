// Fills event rings, and detects when the service has delivered everything.
#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>
#include <thread>

#include "support/forked.hpp"

namespace cpgring::bench {

template <class Side>
void send_retrying(Side& side, std::size_t index, std::string_view payload) {
  while (!side.multicast(index, payload)) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

/// Multicasts `each` messages from every handle. The service takes them, but no side reads them yet.
template <class Side>
void fill(Side& side, std::size_t each, std::string_view payload) {
  for (std::size_t round = 0; round < each; ++round) {
    for (std::size_t i = 0; i < side.handles(); ++i) {
      send_retrying(side, i, payload);
    }
  }
}

/// A handle of libcpg whose messages come back after everything that the service had taken before. It runs in
/// a process of its own, so that neither side's code is warmer than the other's. Must be created before
/// anything else.
class observer {
 public:
  observer();
  void wait_for_the_service();

 private:
  shared_semaphore asked_, answered_;
  forked process_;
};

}  // namespace cpgring::bench
