#include "base/check.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace cpgring::base {

void check_failed(const char* expression, const char* file, int line) noexcept {
  // The only place that writes to stderr: the process aborts because of an internal error, and the log
  // callback may be part of that error.
  char text[512];
  const int n = std::snprintf(text, sizeof text, "cpgring: internal check failed: %s (%s:%d)\n", expression,
                              file, line);
  if (n > 0) {
    [[maybe_unused]] const auto written =
        ::write(STDERR_FILENO, text,
                static_cast<std::size_t>(n) < sizeof text ? static_cast<std::size_t>(n) : sizeof text - 1);
  }
  std::abort();
}

}  // namespace cpgring::base
