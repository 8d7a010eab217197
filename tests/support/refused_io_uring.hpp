// Code that runs where io_uring is refused, as containers and hardened kernels do: in a child process under a seccomp filter.
#pragma once

#include <functional>
#include <string>

namespace cpgring::test {

/// Runs `body` in a child; what it returns is the outcome: empty for success, else what was wrong. A child that dies is an outcome too.
std::string in_a_child(const std::function<std::string()>& body);

enum class io_uring_call { setup, enter, reg };

/// From now on that call answers `errno_value`, in all threads of this process. False: the filter was not taken. Only in a child.
bool refuse_io_uring(io_uring_call which, int errno_value);

/// Both: `body` in a child in which the call has been refused from the beginning.
std::string with_io_uring_refused(int errno_value, const std::function<std::string()>& body, io_uring_call which = io_uring_call::setup);

}  // namespace cpgring::test
