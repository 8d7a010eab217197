// Which limit of the process a refused call has met, and how it is raised.
//
// Texts for errors. Any thread; reads /proc, so not for a path on which errors are usual.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <cpgring/error.hpp>

namespace cpgring::base {

/// "raise RLIMIT_MEMLOCK (now 65536 bytes; ...)": for `bytes` that are mapped and that a kernel may pin.
std::string raise_for_pinned_memory(std::size_t bytes);

/// `errno_value` of an mmap() of `bytes`, which was for `what`. Errors: no_mappings for ENOMEM, no_memory for EAGAIN, else the errno.
error mapping_refused(int errno_value, std::size_t bytes, std::string_view what);

/// `errno_value` of a thread that could not be started: "starting the reactor's thread".
error thread_refused(int errno_value, std::string_view what);

}  // namespace cpgring::base
