// Runs code in a child process under a seccomp filter that refuses io_uring, as containers and hardened
// kernels do.
#pragma once

#include <functional>
#include <string>

namespace cpgring::test {

/// Runs `body` in a child process and returns its result: empty for success, else the fault. A child that
/// dies is a fault too.
std::string in_a_child(const std::function<std::string()>& body);

enum class io_uring_call { setup, enter, reg };

/// Makes that call fail with `errno_value` in all threads of this process; call it only in a child. False:
/// the filter was not installed.
bool refuse_io_uring(io_uring_call which, int errno_value);

/// Runs `body` in a child in which the call is refused from the start.
std::string with_io_uring_refused(int errno_value, const std::function<std::string()>& body,
                                  io_uring_call which = io_uring_call::setup);

}  // namespace cpgring::test
