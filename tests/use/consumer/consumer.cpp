// A user's first program: headers, a constructor, an error across the library's boundary.
#include <cpgring/cpgring.hpp>

#include <cstdio>

int main() {
  cpgring::engine engine;
  cpgring::histogram histogram;
  histogram.record(42);
  const std::error_code code = cpgring::make_error_code(cpgring::errc::no_space);
  std::puts(code.message().c_str());
  return code.category() == cpgring::error_category() && histogram.count() == 1 ? 0 : 1;
}
