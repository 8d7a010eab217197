// Finds which limit of the process made a call fail, and tells how to raise it.
//
// The functions make texts for errors. Any thread. They read /proc: not for paths on which errors are
// frequent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <cpgring/error.hpp>

namespace cpgring::base {

/// Memory mappings of a handle: for each of three rings the header once and the data twice.
inline constexpr unsigned mappings_per_handle = 9;

/// "raise RLIMIT_MEMLOCK (now 65536 bytes; ...)", for `bytes` that are mapped and that the kernel may pin.
std::string raise_for_pinned_memory(std::size_t bytes);

/// The error of an mmap() of `bytes` for `what` that failed with `errno_value`: no_mappings for ENOMEM,
/// no_memory for EAGAIN, else the errno.
error mapping_refused(int errno_value, std::size_t bytes, std::string_view what);

/// The error of a thread that could not be started; `what` is, for example, "starting the reactor's thread".
error thread_refused(int errno_value, std::string_view what);

/// Total size of /dev/shm in bytes; 0: there is none.
std::uint64_t shared_memory_size() noexcept;

}  // namespace cpgring::base
