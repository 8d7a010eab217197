#include "base/limits.hpp"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include <fmt/format.h>

#include <cpgring/result.hpp>

namespace cpgring::base {
namespace {

rlim_t limit_of(int which) noexcept {
  rlimit limit{};
  return ::getrlimit(static_cast<__rlimit_resource_t>(which), &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

std::string in_bytes(rlim_t limit) {
  return limit == RLIM_INFINITY ? std::string("unlimited") : fmt::format("{} bytes", limit);
}

/// Bytes that count against RLIMIT_AS; 0: not known.
std::size_t address_space_used() {
  std::ifstream file("/proc/self/statm");
  std::size_t pages = 0;
  file >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::string first_word(const char* path) {
  std::ifstream file(path);
  std::string word;
  return file >> word ? word : "not known";
}

bool meets_address_space(std::size_t bytes) {
  const rlim_t limit = limit_of(RLIMIT_AS);
  return limit != RLIM_INFINITY && address_space_used() + bytes > limit;
}

std::string raise_address_space() {
  return fmt::format("raise RLIMIT_AS (now {}; ulimit -v, LimitAS= of a systemd unit)",
                     in_bytes(limit_of(RLIMIT_AS)));
}

}  // namespace

std::string raise_for_pinned_memory(std::size_t bytes) {
  if (meets_address_space(bytes)) {
    return raise_address_space();
  }
  return fmt::format("raise RLIMIT_MEMLOCK (now {}; ulimit -l, LimitMEMLOCK= of a systemd unit)",
                     in_bytes(limit_of(RLIMIT_MEMLOCK)));
}

error mapping_refused(int errno_value, std::size_t bytes, std::string_view what) {
  if (errno_value == EAGAIN) {  // mlockall(MCL_FUTURE)
    return {errc::no_memory, fmt::format("mapping {}: {} more cannot be locked in memory; {}", what,
                                         in_bytes(bytes), raise_for_pinned_memory(0))};
  }
  if (errno_value != ENOMEM) {
    return fail_errno(errno_value, fmt::format("mapping {}", what)).why;
  }
  if (meets_address_space(bytes)) {
    return {errc::no_mappings, fmt::format("mapping {}: {} more of address space would exceed the limit; {}",
                                           what, in_bytes(bytes), raise_address_space())};
  }
  return {
      errc::no_mappings,
      fmt::format("mapping {}: out of memory mappings; raise vm.max_map_count (now {}; {} for each handle)",
                  what, first_word("/proc/sys/vm/max_map_count"), mappings_per_handle)};
}

error thread_refused(int errno_value, std::string_view what) {
  if (errno_value != EAGAIN) {
    return fail_errno(errno_value, what).why;
  }
  const std::size_t stack =
      limit_of(RLIMIT_STACK) == RLIM_INFINITY ? std::size_t{2} << 20 : limit_of(RLIMIT_STACK);
  if (meets_address_space(stack)) {
    return {errc::no_memory, fmt::format("{}: no address space for a stack of {}; {}", what, in_bytes(stack),
                                         raise_address_space())};
  }
  return {errc::no_memory, fmt::format("{}: the limit of threads is reached; raise RLIMIT_NPROC (now {}), "
                                       "kernel.threads-max or pids.max of the cgroup",
                                       what, limit_of(RLIMIT_NPROC))};
}

std::uint64_t shared_memory_size() noexcept {
  struct statvfs all {};
  return ::statvfs("/dev/shm", &all) == 0 ? std::uint64_t{all.f_blocks} * all.f_frsize : 0;
}

}  // namespace cpgring::base
