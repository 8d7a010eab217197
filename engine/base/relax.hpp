// What a thread does between two looks at something that another one will change.
#pragma once

namespace cpgring::base {

inline void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace cpgring::base
