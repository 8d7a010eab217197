// check(): a statement about our own code. A broken one is our bug and stops the program at once, in every build:
// going on would write into memory that other processes share. What foreign bytes say is never checked here: it is refused with an error.
#pragma once

namespace cpgring::base {

[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace cpgring::base

#define CPGRING_CHECK(expression) \
  (__builtin_expect(static_cast<bool>(expression), 1) ? void(0) : ::cpgring::base::check_failed(#expression, __FILE__, __LINE__))
