// The counters of tests/preload/doorbell_counter.cpp, in a file that the test maps too.
#pragma once

#include <atomic>
#include <cstdint>

struct doorbell_figures {
  std::atomic<std::uint64_t> sends;    // sends of doorbell bytes, refused ones included
  std::atomic<std::uint64_t> longest;  // most bytes that one send tried to send
  std::atomic<std::uint64_t> refused;  // first bytes that a full socket did not take
  std::atomic<std::uint64_t> repaid;   // sends of owed bytes that were taken
};
