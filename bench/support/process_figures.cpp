#include "support/process_figures.hpp"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <fmt/format.h>

namespace cpgring::bench {
namespace {

double lines_of(const char* path) {
  std::ifstream file(path);
  return static_cast<double>(std::count(std::istreambuf_iterator<char>(file), {}, '\n'));
}

struct statvfs shm_state() {
  struct statvfs s {};
  ::statvfs("/dev/shm", &s);
  return s;
}

}  // namespace

process_figures figures_now() {
  process_figures f;
  const auto shm = shm_state();
  f.shm_bytes = static_cast<double>(shm.f_blocks - shm.f_bfree) * static_cast<double>(shm.f_frsize);
  double total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  f.resident_bytes = resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
  f.mappings = lines_of("/proc/self/maps");
  const std::filesystem::directory_iterator open("/proc/self/fd");
  f.descriptors = static_cast<double>(std::distance(begin(open), end(open)));
  return f;
}

thread_figures figures_of(pid_t thread) {
  thread_figures f;
  std::ifstream status(fmt::format("/proc/self/task/{}/status", thread));
  for (std::string key; status >> key;) {
    if (key == "voluntary_ctxt_switches:" || key == "nonvoluntary_ctxt_switches:") {
      double count = 0;
      status >> count;
      f.switches += count;
    }
  }
  double ns = 0;
  std::ifstream(fmt::format("/proc/self/task/{}/schedstat", thread)) >> ns;
  f.cpu_seconds = ns * 1e-9;
  return f;
}

std::uint64_t mappings_max() {
  std::uint64_t most = 65530;
  std::ifstream("/proc/sys/vm/max_map_count") >> most;
  return most;
}

double shm_free() {
  const auto shm = shm_state();
  return static_cast<double>(shm.f_bavail) * static_cast<double>(shm.f_frsize);
}

}  // namespace cpgring::bench
