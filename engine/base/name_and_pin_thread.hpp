// Sets the name and the CPU of the calling thread; the first call in each thread of the library.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <string>

namespace cpgring::base {

/// `name`: at most 15 bytes. `cpu` below 0: not pinned. A CPU that does not exist is ignored.
inline void name_and_pin_thread(const std::string& name, int cpu) noexcept {
  ::pthread_setname_np(::pthread_self(), name.c_str());
  if (cpu >= 0 && cpu < CPU_SETSIZE) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(cpu), &one);
    ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);
  }
}

}  // namespace cpgring::base
