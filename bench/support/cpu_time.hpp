// CPU time that this thread has used: what a client costs, whatever else the machine does.
#pragma once

#include <ctime>

namespace cpgring::bench {

inline double thread_cpu_seconds() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

}  // namespace cpgring::bench
