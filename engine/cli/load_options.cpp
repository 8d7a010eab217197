#include "cli/load_options.hpp"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <fstream>

#include <fmt/format.h>

#include "cli/command.hpp"
#include "cli/ledger.hpp"

namespace cpgring::cli {
namespace {

constexpr std::uint32_t usual_ring_bytes = 65536;
// Each of the three rings has its header mapped once and its data twice.
constexpr std::size_t mappings_per_handle = 9;
// The embedded service maps the same. In addition, malloc() maps libqb's buffer for a client if it is large.
constexpr std::size_t mappings_per_client = mappings_per_handle + 1;
constexpr std::size_t other_mappings = 300;
constexpr std::size_t other_descriptors = 64;

std::size_t shared_memory_of_handle(std::size_t ring_bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto in_pages = [page](std::size_t bytes) { return (bytes + page - 1) / page * page; };
  return 3 * (in_pages(ring_bytes + 13) + in_pages(8248));
}

}  // namespace

std::uint64_t load_options::messages_under_way() const noexcept {
  return window != 0 ? window : std::clamp<std::uint64_t>(std::uint64_t{handles} * 64, 64, 8192);
}

result<void> load_options::complete() {
  if (size < ledger::payload_min) {
    return fail(errc::invalid_param,
                fmt::format("--size {}: the checks need at least {} bytes", size, ledger::payload_min));
  }
  if (json == "-" && hgrm == "-") {
    return fail(errc::invalid_param,
                "--json - and --hgrm -: standard output takes one of them; name a file for the other");
  }
  if (ring_bytes == 0) {
    ring_bytes = std::clamp<std::uint32_t>(
        std::bit_ceil(static_cast<std::uint32_t>(std::min<std::size_t>(size, atomic_message_max)) + 1024),
        usual_ring_bytes, std::uint32_t{1} << 20);
  }
  if (engine.reactors > 1 && how != mode::blocking) {
    return fail(
        errc::invalid_param,
        fmt::format(
            "--reactors {}: several reactors need --mode blocking; the other modes dispatch for one reactor",
            engine.reactors));
  }
  engine.handles_expected = std::max<std::uint32_t>(handles, 64);
  return {};
}

result<void> load_options::check_limits() const {
  const std::size_t sides = embedded() ? 2 : 1;
  const std::size_t descriptors = raise_descriptor_limit();
  if (const auto needed = sides * handles + other_descriptors; needed > descriptors) {
    return fail(errc::no_descriptors, fmt::format("{} handles need {} file descriptors, the limit is {}; "
                                                  "raise it (ulimit -Hn, LimitNOFILE=) or take "
                                                  "fewer --handles",
                                                  handles, needed, descriptors));
  }
  std::size_t mappings = 0;
  if (std::ifstream("/proc/sys/vm/max_map_count") >> mappings) {
    const std::size_t each = mappings_per_handle + (embedded() ? mappings_per_client : 0);
    if (const auto needed = handles * each + other_mappings; needed > mappings) {
      return fail(errc::no_mappings, fmt::format("{} handles need {} memory mappings, the limit is {}; as "
                                                 "root: sysctl vm.max_map_count={}, or take "
                                                 "fewer --handles",
                                                 handles, needed, mappings, std::bit_ceil(needed)));
    }
  }
  struct statvfs shm {};
  if (::statvfs("/dev/shm", &shm) == 0 && shm.f_blocks != 0) {
    const std::size_t free = std::size_t{shm.f_bavail} * shm.f_frsize;
    if (const auto needed = handles * shared_memory_of_handle(ring_bytes); needed > free) {
      return fail(errc::no_space,
                  fmt::format("{} handles of --ring-bytes {} need {} MiB in /dev/shm, {} MiB are free; take "
                              "fewer or smaller ones, or "
                              "as root: mount -o remount,size={}m /dev/shm",
                              handles, ring_bytes, needed >> 20, free >> 20, (needed >> 20) + 256));
    }
  }
  return {};
}

}  // namespace cpgring::cli
