// Resources of a process at one moment, and whether they grow over time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cpgring::soak {

/// Resources of one process, from /proc. All 0 if the process does not exist.
struct holdings {
  std::uint64_t rss_kib = 0;        ///< resident, shared memory included
  std::uint64_t anonymous_kib = 0;  ///< of these, private memory: heap and stacks
  std::uint64_t descriptors = 0;
  std::uint64_t mappings = 0;
  std::uint64_t ring_mappings = 0;  ///< of these, mappings of files in /dev/shm
  std::chrono::milliseconds cpu{0};
};
holdings holdings_of(pid_t pid);

struct sample {
  std::chrono::seconds at{0};
  holdings ours, daemon;
  std::uint64_t shm_files = 0;  ///< files of this process's connections in /dev/shm, without folders
  std::uint64_t shm_kib = 0;
  /// Memory handed out by the allocator; memory that it keeps for reuse is resident too.
  std::uint64_t heap_kib = 0;
  std::uint64_t handles = 0;
  /// Totals so far; lives: handles opened, and joins again.
  std::uint64_t multicasts = 0, messages = 0, lives = 0;
};
/// Fills in the figures from the system; the caller adds the others.
sample take_sample(pid_t daemon);

void print_head();
void print(const sample& one);

/// Prints the medians of the first and last quarter of each figure, and which figures grew beyond their
/// tolerance: 2 % and 2 MiB for memory, a few mappings, no descriptors and files. Returns false if one did.
/// `at_rest`: samples taken while nothing was in flight.
bool holds_still(const std::vector<sample>& at_rest);

}  // namespace cpgring::soak
