#include "soak/figures.hpp"

#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

namespace cpgring::soak {
namespace {

namespace fs = std::filesystem;

std::uint64_t entries(const fs::path& folder) {
  std::uint64_t count = 0;
  std::error_code gone;
  for (fs::directory_iterator i(folder, gone), end; !gone && i != end; i.increment(gone)) {
    ++count;
  }
  return count;
}

struct ring_files {
  std::uint64_t count = 0, kib = 0;
};

/// Only the files of this process's connections: /dev/shm is shared, and a killed process leaves its files
/// there. libqb names the folder of a connection qb-SERVER-CLIENT-DESCRIPTOR-, with process ids, and six
/// random letters.
ring_files ring_files_of_client(pid_t client) {
  const std::string ours = fmt::format("-{}-", client);
  ring_files all;
  std::error_code gone;
  for (fs::directory_iterator i("/dev/shm", gone), end; !gone && i != end; i.increment(gone)) {
    const std::string name = i->path().filename();
    if (!name.starts_with("qb-") || name.find(ours, 3) != name.find('-', 3)) {
      continue;
    }
    // The service may remove files at any moment: a file that can't be read does not count.
    std::error_code unreadable;
    for (fs::directory_iterator file(i->path(), unreadable), last; !unreadable && file != last;
         file.increment(unreadable)) {
      struct stat of {};
      if (::stat(file->path().c_str(), &of) == 0) {
        ++all.count;
        all.kib += static_cast<std::uint64_t>(of.st_blocks) / 2;
      }
    }
  }
  return all;
}

struct figure {
  std::string_view name;
  std::uint64_t (*of)(const sample&);
  std::uint64_t more_percent;
  std::uint64_t more;
};

constexpr std::uint64_t memory_kib = 2048;
// A thread stack or a large block of the allocator is one or two mappings.
constexpr std::uint64_t few_mappings = 8;
constexpr figure figures[] = {
    {"our resident KiB", [](const sample& s) { return s.ours.rss_kib; }, 2, memory_kib},
    {"our own memory KiB", [](const sample& s) { return s.ours.anonymous_kib; }, 2, memory_kib},
    {"our heap in use KiB", [](const sample& s) { return s.heap_kib; }, 2, memory_kib},
    {"our descriptors", [](const sample& s) { return s.ours.descriptors; }, 0, 0},
    {"our mappings", [](const sample& s) { return s.ours.mappings; }, 0, few_mappings},
    {"our mappings of rings", [](const sample& s) { return s.ours.ring_mappings; }, 0, 0},
    {"daemon's resident KiB", [](const sample& s) { return s.daemon.rss_kib; }, 2, memory_kib},
    {"daemon's own memory KiB", [](const sample& s) { return s.daemon.anonymous_kib; }, 2, memory_kib},
    {"daemon's descriptors", [](const sample& s) { return s.daemon.descriptors; }, 0, 0},
    {"daemon's mappings", [](const sample& s) { return s.daemon.mappings; }, 0, few_mappings},
    {"files in /dev/shm", [](const sample& s) { return s.shm_files; }, 0, 0},
    {"KiB of /dev/shm", [](const sample& s) { return s.shm_kib; }, 2, 0},
};

std::uint64_t median(std::vector<std::uint64_t> all) {
  std::sort(all.begin(), all.end());
  return all.empty() ? 0 : all[all.size() / 2];
}

}  // namespace

holdings holdings_of(pid_t pid) {
  holdings h;
  const fs::path proc = fmt::format("/proc/{}", pid);
  std::ifstream status(proc / "status");
  for (std::string word; status >> word;) {
    if (word == "VmRSS:") {
      status >> h.rss_kib;
    } else if (word == "RssAnon:") {
      status >> h.anonymous_kib;
    }
  }
  std::ifstream maps(proc / "maps");
  for (std::string line; std::getline(maps, line);) {
    ++h.mappings;
    h.ring_mappings += line.find(" /dev/shm/") != std::string::npos ? 1U : 0U;
  }
  h.descriptors = entries(proc / "fd");
  // Skips the name in parentheses and fields 3 to 13; 14 and 15 are the CPU times.
  std::stringstream text;
  text << std::ifstream(proc / "stat").rdbuf();
  std::string stat = text.str();
  if (const auto name_end = stat.rfind(')'); name_end != std::string::npos) {
    std::istringstream fields(stat.substr(name_end + 1));
    std::string skipped;
    for (int i = 3; i < 14; ++i) {
      fields >> skipped;
    }
    std::int64_t user = 0, system = 0;
    fields >> user >> system;
    h.cpu = std::chrono::milliseconds((user + system) * 1000 / ::sysconf(_SC_CLK_TCK));
  }
  return h;
}

sample take_sample(pid_t daemon) {
  sample s;
  s.ours = holdings_of(::getpid());
  if (daemon > 0) {
    s.daemon = holdings_of(daemon);
  }
  const ring_files rings = ring_files_of_client(::getpid());
  s.shm_files = rings.count;
  s.shm_kib = rings.kib;
  const struct mallinfo2 heap = ::mallinfo2();
  s.heap_kib = (heap.uordblks + heap.hblkhd) / 1024;
  return s;
}

void print_head() {
  fmt::print(
      "{:>6} | {:>9} {:>9} {:>8} {:>6} {:>7} | {:>9} {:>9} {:>6} {:>7} | {:>6} {:>9} | {:>7} {:>8} {:>11} "
      "{:>11}\n",
      "second", "our RSS", "own KiB", "heap KiB", "fds", "maps", "daemon's", "own KiB", "fds", "maps",
      "files", "shm KiB", "handles", "lives", "multicasts", "messages");
}

void print(const sample& one) {
  fmt::print(
      "{:>6} | {:>9} {:>9} {:>8} {:>6} {:>7} | {:>9} {:>9} {:>6} {:>7} | {:>6} {:>9} | {:>7} {:>8} {:>11} "
      "{:>11}\n",
      one.at.count(), one.ours.rss_kib, one.ours.anonymous_kib, one.heap_kib, one.ours.descriptors,
      one.ours.mappings, one.daemon.rss_kib, one.daemon.anonymous_kib, one.daemon.descriptors,
      one.daemon.mappings, one.shm_files, one.shm_kib, one.handles, one.lives, one.multicasts, one.messages);
  std::fflush(stdout);
}

bool holds_still(const std::vector<sample>& at_rest) {
  if (at_rest.size() < 4) {
    fmt::print("only {} samples: too few to compare\n", at_rest.size());
    return false;
  }
  const auto quarter = static_cast<std::ptrdiff_t>(at_rest.size() / 4);
  bool still = true;
  fmt::print("\n{:<26}{:>14}{:>14}{:>10}{:>10}\n", "median of", "first quarter", "last quarter", "more",
             "allowed");
  for (const figure& one : figures) {
    std::vector<std::uint64_t> first, last;
    std::transform(at_rest.begin(), at_rest.begin() + quarter, std::back_inserter(first), one.of);
    std::transform(at_rest.end() - quarter, at_rest.end(), std::back_inserter(last), one.of);
    const auto before = median(first), after = median(last);
    const auto allowed = before * one.more_percent / 100 + one.more;
    const bool grows = after > before + allowed;
    fmt::print("{:<26}{:>14}{:>14}{:>10}{:>10}{}\n", one.name, before, after,
               static_cast<std::int64_t>(after) - static_cast<std::int64_t>(before), allowed,
               grows ? "   GROWS" : "");
    still = still && !grows;
  }
  return still;
}

}  // namespace cpgring::soak
