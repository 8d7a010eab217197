// A pause between two polls of memory that another thread will change.
#pragma once

namespace cpgring::base {

inline void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace cpgring::base
