// What constructors throw for an error.
#pragma once

#include <cpgring/error.hpp>

namespace cpgring::base {

/// A std::system_error with the error's code whose what() is the error's text alone.
[[noreturn]] void throw_error(error what);

}  // namespace cpgring::base
