// Code that runs where io_uring is refused, as containers and hardened kernels do: in a child process under a seccomp filter.
#pragma once

#include <functional>
#include <string>

namespace cpgring::test {

/// Runs `body` in a child in which io_uring_setup answers `errno_value`; what it returns is the outcome: empty for success, else what was
/// wrong. A child that dies is an outcome too.
std::string with_io_uring_refused(int errno_value, const std::function<std::string()>& body);

}  // namespace cpgring::test
