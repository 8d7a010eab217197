// What this process and /dev/shm use, as the kernel reports it.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace cpgring::bench {

struct process_figures {
  double shm_bytes = 0;       ///< used in /dev/shm, by any process
  double resident_bytes = 0;  ///< of this process, shared memory included
  double mappings = 0;
  double descriptors = 0;

  friend process_figures operator-(const process_figures& a, const process_figures& b) noexcept {
    return {a.shm_bytes - b.shm_bytes, a.resident_bytes - b.resident_bytes, a.mappings - b.mappings,
            a.descriptors - b.descriptors};
  }
};
process_figures figures_now();

struct thread_figures {
  double switches = 0;  ///< voluntary and involuntary, from /proc/self/task/TID/status
  double cpu_seconds = 0;
};
thread_figures figures_of(pid_t thread);

/// vm.max_map_count.
std::uint64_t mappings_max();
/// Free bytes in /dev/shm.
double shm_free();

}  // namespace cpgring::bench
