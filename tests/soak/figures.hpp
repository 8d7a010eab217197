// What a process holds at one moment, and whether it holds more and more.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cpgring::soak {

/// Of one process, from /proc. All 0 for one that is gone.
struct holdings {
  std::uint64_t rss_kib = 0;        ///< resident, shared memory included
  std::uint64_t anonymous_kib = 0;  ///< of these, memory that is its alone: heap and stacks
  std::uint64_t descriptors = 0;
  std::uint64_t mappings = 0;
  std::uint64_t ring_mappings = 0;  ///< of these, of files in /dev/shm
  std::chrono::milliseconds cpu{0};
};
holdings holdings_of(pid_t pid);

struct sample {
  std::chrono::seconds at{0};
  holdings ours, daemon;
  std::uint64_t shm_files = 0;  ///< of our connections in /dev/shm, folders not counted
  std::uint64_t shm_kib = 0;
  std::uint64_t heap_kib = 0;  ///< what our allocator has handed out; resident is also what it keeps for later
  std::uint64_t handles = 0;
  std::uint64_t multicasts = 0, messages = 0, lives = 0;  ///< so far; lives: handles that were opened or joined anew
};
/// The parts that the machine knows; the rest is the caller's.
sample take_sample(pid_t daemon);

void print_head();
void print(const sample& one);

/// Prints the median of the first and of the last quarter of each figure, and says which grew beyond its tolerance: 2 % and 2 MiB for
/// memory, a few for descriptors, mappings and files. `at_rest`: each was taken while nothing was under way. False when one did.
bool holds_still(const std::vector<sample>& at_rest);

}  // namespace cpgring::soak
