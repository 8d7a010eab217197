// What tests/preload/doorbell_counter.cpp counts, in a file that a test maps as well.
#pragma once

#include <atomic>
#include <cstdint>

struct doorbell_figures {
  std::atomic<std::uint64_t> sends;    // of doorbell bytes, refused ones included
  std::atomic<std::uint64_t> longest;  // bytes that one of them tried to send
  std::atomic<std::uint64_t> refused;  // first bytes that a full socket did not take
  std::atomic<std::uint64_t> repaid;   // sends of owed bytes that were taken
};
