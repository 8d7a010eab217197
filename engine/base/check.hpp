// CPGRING_CHECK: an assertion about this library's own code, in every build. If it fails, the process aborts,
// because going on would write into memory that other processes share. Values from other processes are never
// checked with it; see refusal.hpp.
#pragma once

namespace cpgring::base {

[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace cpgring::base

#define CPGRING_CHECK(expression)                     \
  (__builtin_expect(static_cast<bool>(expression), 1) \
       ? void(0)                                      \
       : ::cpgring::base::check_failed(#expression, __FILE__, __LINE__))
