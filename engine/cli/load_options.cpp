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

constexpr std::uint32_t usual_max_message_size = 65536;
// A client maps each of three rings' header once and data twice, in one reserved range; the service the same.
constexpr std::size_t mappings_per_handle = 12;
constexpr std::size_t mappings_besides = 300;
constexpr std::size_t descriptors_besides = 64;

std::size_t shared_memory_of_handle(std::size_t max_message_size) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto in_pages = [page](std::size_t bytes) { return (bytes + page - 1) / page * page; };
  return 3 * (in_pages(max_message_size + 13) + in_pages(8248));
}

}  // namespace

std::uint64_t load_options::messages_under_way() const noexcept {
  return window != 0 ? window : std::clamp<std::uint64_t>(std::uint64_t{handles} * 64, 64, 8192);
}

result<void> load_options::settle() {
  if (size < ledger::payload_min) {
    return fail(errc::invalid_param, fmt::format("--size {}: {} bytes are needed for what is checked", size, ledger::payload_min));
  }
  if (json == "-" && hgrm == "-") {
    return fail(errc::invalid_param, "--json - and --hgrm -: standard output takes one of them; name a file for the other");
  }
  if (max_message_size == 0) {
    max_message_size =
        std::clamp<std::uint32_t>(std::bit_ceil(static_cast<std::uint32_t>(std::min<std::size_t>(size, atomic_message_max)) + 1024),
                                  usual_max_message_size, std::uint32_t{1} << 20);
  }
  if (engine.reactors > 1 && how != mode::blocking) {
    return fail(errc::invalid_param,
                fmt::format("--reactors {}: several of them run until the end, as --mode blocking does; the other modes "
                            "dispatch for one",
                            engine.reactors));
  }
  engine.handles_expected = std::max<std::uint32_t>(handles, 64);
  return {};
}

result<void> load_options::check_limits() const {
  const std::size_t sides = embedded() ? 2 : 1;
  const std::size_t descriptors = raise_descriptor_limit();
  if (const auto needed = sides * handles + descriptors_besides; needed > descriptors) {
    return fail(errc::no_descriptors,
                fmt::format("{} handles need {} file descriptors, the limit is {}; raise it (ulimit -Hn, LimitNOFILE=) or take "
                            "fewer --handles",
                            handles, needed, descriptors));
  }
  std::size_t mappings = 0;
  if (std::ifstream("/proc/sys/vm/max_map_count") >> mappings) {
    if (const auto needed = sides * handles * mappings_per_handle + mappings_besides; needed > mappings) {
      return fail(errc::no_mappings,
                  fmt::format("{} handles need {} memory mappings, the limit is {}; as root: sysctl vm.max_map_count={}, or take "
                              "fewer --handles",
                              handles, needed, mappings, std::bit_ceil(needed)));
    }
  }
  struct statvfs shm {};
  if (::statvfs("/dev/shm", &shm) == 0 && shm.f_blocks != 0) {
    const std::size_t free = std::size_t{shm.f_bavail} * shm.f_frsize;
    if (const auto needed = handles * shared_memory_of_handle(max_message_size); needed > free) {
      return fail(
          errc::no_space,
          fmt::format("{} handles of --max-message-size {} need {} MiB in /dev/shm, {} MiB are free; take fewer or smaller ones, or "
                      "as root: mount -o remount,size={}m /dev/shm",
                      handles, max_message_size, needed >> 20, free >> 20, (needed >> 20) + 256));
    }
  }
  return {};
}

}  // namespace cpgring::cli
