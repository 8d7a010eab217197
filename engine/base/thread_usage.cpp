#include "base/thread_usage.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/owned.hpp"

namespace cpgring::base {

nanoseconds thread_cpu_time() noexcept {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + nanoseconds(used.tv_nsec);
}

std::optional<std::uint64_t> stolen_ticks(const char* stat) noexcept {
  constexpr int steal_column = 8;  // user nice system idle iowait irq softirq steal
  if (std::strncmp(stat, "cpu ", 4) != 0) {
    return std::nullopt;
  }
  const char* at = stat + 4;
  std::uint64_t value = 0;
  for (int column = 0; column < steal_column; ++column) {
    char* end = nullptr;
    value = std::strtoull(at, &end, 10);
    if (end == at) {
      return std::nullopt;
    }
    at = end;
  }
  return value;
}

thread_usage usage_of_this_thread(bool stolen) noexcept {
  thread_usage found;
  found.cpu = thread_cpu_time();
  rusage counted{};
  if (::getrusage(RUSAGE_THREAD, &counted) == 0) {
    found.preemptions = static_cast<std::uint64_t>(counted.ru_nivcsw);
  }
  if (!stolen) {
    return found;
  }
  char text[256] = {};
  const unique_fd stat(::open("/proc/stat", O_RDONLY | O_CLOEXEC));
  if (stat && ::read(stat.get(), text, sizeof text - 1) > 0) {
    found.stolen = stolen_ticks(text);
  }
  return found;
}

}  // namespace cpgring::base
