// The cost of handles while nothing happens: time to open and join, memory, mappings, descriptors, and the
// CPU time and wake-ups of an idle loop.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "base/limits.hpp"
#include "peers/libcpg_peer.hpp"
#include "suites/suite.hpp"
#include "support/alternate.hpp"
#include "support/clocks.hpp"
#include "support/our_side.hpp"
#include "support/process_figures.hpp"
#include "support/results.hpp"

namespace cpgring::bench {
namespace {

// Each of thousands of handles gets small messages. libcpg has one ring size for all purposes.
constexpr std::uint32_t our_ring = 65536;
constexpr double libcpg_shm_of_handle = 3.1 * (1 << 20);
constexpr std::uint64_t other_mappings = 1000;

struct figures {
  std::vector<double> open_us, open_cpu_us, shm, resident, mappings, descriptors, idle_switches, idle_cpu_us;
};

/// Measures how often the loop on this thread wakes, and its CPU time, during `length` without anything to
/// do.
template <class Side>
void measure_idle(Side& side, std::chrono::milliseconds length, figures& into) {
  const pid_t loop = ::gettid();
  const auto pause_around = std::chrono::milliseconds(1000);
  std::thread watcher([&, loop] {
    std::this_thread::sleep_for(pause_around / 2);
    const auto before = figures_of(loop);
    std::this_thread::sleep_for(length);
    const auto after = figures_of(loop);
    into.idle_switches.push_back(after.switches - before.switches);
    into.idle_cpu_us.push_back((after.cpu_seconds - before.cpu_seconds) * 1e6);
  });
  side.take_until(now_ns() +
                  static_cast<std::uint64_t>(std::chrono::nanoseconds(length + pause_around).count()));
  watcher.join();
}

/// Waits until /dev/shm does not change any more: the service frees the files of a closed side a little
/// later.
process_figures figures_at_rest() {
  auto last = figures_now();
  for (int same = 0, checks = 0; same < 5 && checks < 500; ++checks) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const auto now = figures_now();
    same = now.shm_bytes == last.shm_bytes ? same + 1 : 0;
    last = now;
  }
  return last;
}

template <class Side, class Open>
void measure(std::size_t handles, std::chrono::milliseconds idle_for, figures& into, const Open& open) {
  const auto n = static_cast<double>(handles);
  const auto before = figures_at_rest();
  std::unique_ptr<Side> side;
  const cost c = cost_of(n, [&] { side = open(); });
  into.open_us.push_back(c.wall_ns / 1e3);
  into.open_cpu_us.push_back(c.cpu_ns / 1e3);
  const auto held = figures_now() - before;
  into.shm.push_back(held.shm_bytes / n / 1024);
  into.resident.push_back(held.resident_bytes / n / 1024);
  into.mappings.push_back(held.mappings / n);
  into.descriptors.push_back(held.descriptors / n);
  if (into.idle_switches.empty()) {
    measure_idle(*side, idle_for, into);
  }
}

std::string name_of(std::size_t handles) {
  return fmt::format("{} handle{}", handles, handles == 1 ? "" : "s");
}

void run_case(std::size_t handles, const settings& s, results& r) {
  if (mappings_max() < handles * base::mappings_per_handle + other_mappings) {
    r.note(
        fmt::format("{} handles: left out, they need {} mappings, the limit here is {}; as root: sysctl "
                    "vm.max_map_count={}",
                    handles, handles * base::mappings_per_handle + other_mappings, mappings_max(), 1 << 20));
    return;
  }
  const auto idle_for = s.length.count() != 0 ? s.length : std::chrono::milliseconds(s.quick ? 1000 : 10000);
  const bool peer_fits = static_cast<double>(handles) * libcpg_shm_of_handle < shm_free();
  figures us, them;
  our_options o;
  o.service = s.service;
  o.service_uid = s.service_uid;
  o.ring_bytes = our_ring;
  std::vector<side> sides{{"cpgring", [&] {
                             measure<our_side>(handles, idle_for, us, [&] {
                               return std::make_unique<our_side>("ours", handles, o);
                             });
                           }}};
  if (peer_fits) {
    sides.push_back({"libcpg", [&] {
                       measure<libcpg_peer>(handles, idle_for, them,
                                            [&] { return std::make_unique<libcpg_peer>("peer", handles); });
                     }});
  } else {
    r.note(fmt::format("{} handles: libcpg would need {:.0f} GiB in /dev/shm, {:.0f} are free", handles,
                       static_cast<double>(handles) * libcpg_shm_of_handle / (1 << 30),
                       shm_free() / (1 << 30)));
  }
  const std::string name = name_of(handles);
  alternate(name, s.repeat(handles > 1000 ? 1 : 5, handles >= 1000 ? 1 : 3), sides);
  const std::string peer = "libcpg with epoll";
  const auto add = [&](const char* what, const char* unit, std::vector<double> figures::*which) -> row& {
    return r.add(fmt::format("{}, {}", name, what), unit, better::lower, us.*which, them.*which, peer);
  };
  const bool thousand = handles == 1000;
  row& opening = add("opening", "us a handle", &figures::open_us);
  if (thousand) {
    opening.wanted = 5;
  }
  add("opening, CPU", "us of CPU a handle", &figures::open_cpu_us);
  row& shm = add("shared memory", "KiB a handle", &figures::shm);
  if (thousand) {
    shm.wanted = 12;
  }
  add("resident", "KiB a handle", &figures::resident);
  add("mappings", "a handle", &figures::mappings);
  add("descriptors", "a handle", &figures::descriptors);
  row& switches = add("idle, context switches",
                      fmt::format("in {} s", static_cast<double>(idle_for.count()) / 1e3).c_str(),
                      &figures::idle_switches);
  switches.wanted = 0;
  switches.ours_at_most = true;
  add("idle, CPU", fmt::format("us of CPU in {} s", static_cast<double>(idle_for.count()) / 1e3).c_str(),
      &figures::idle_cpu_us);
}

}  // namespace

void run_scale(const settings& s, results& r) {
  using list = std::vector<std::size_t>;
  for (const std::size_t handles : !s.handles.empty() ? s.handles
                                   : s.quick          ? list{1, 1000}
                                                      : list{1, 100, 1000, 4096}) {
    if (s.wanted(name_of(handles))) {
      run_case(handles, s, r);
    }
  }
}

}  // namespace cpgring::bench
