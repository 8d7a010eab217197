// The first thing that a thread of ours does: takes its name, goes to its CPU.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <string>

namespace cpgring::base {

/// `name`: 15 bytes at most. `cpu` below 0: any; one that is not there: any too.
inline void settle_thread(const std::string& name, int cpu) noexcept {
  ::pthread_setname_np(::pthread_self(), name.c_str());
  if (cpu >= 0 && cpu < CPU_SETSIZE) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(cpu), &one);
    ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);
  }
}

}  // namespace cpgring::base
