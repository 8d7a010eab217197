// What the operating system counts for the calling thread and its CPUs.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.hpp"

namespace cpgring::base {

struct thread_usage {
  nanoseconds cpu{0};             ///< CPU time of the thread
  std::uint64_t preemptions = 0;  ///< how often another thread took its CPU
  /// Time that a hypervisor gave to others, all CPUs, in ticks of /proc/stat. Empty: not read.
  std::optional<std::uint64_t> stolen;
};

/// CPU time of the calling thread, and of nothing else. About 0.6 us.
[[nodiscard]] nanoseconds thread_cpu_time() noexcept;
/// `stolen`: read /proc/stat too. It takes some ten microseconds, with hundreds of CPUs up to a millisecond.
[[nodiscard]] thread_usage usage_of_this_thread(bool stolen) noexcept;
/// The stolen ticks in the text of /proc/stat: the eighth number behind "cpu ".
[[nodiscard]] std::optional<std::uint64_t> stolen_ticks(const char* stat) noexcept;

}  // namespace cpgring::base
