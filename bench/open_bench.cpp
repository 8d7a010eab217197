// Opening a thousand handles, each in a group of its own: time and shared memory; cpgring with 64 KiB rings against stock libcpg,
// alternating.
//
//   scripts/with-corosync -- build/release/bench/open_bench [--repetitions N] [--handles N]
#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "peers/libcpg_peer.hpp"
#include "support/arguments.hpp"
#include "support/cpu_time.hpp"
#include "support/our_side.hpp"
#include "support/pairs.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::bench;

double shared_memory_bytes() {
  struct statvfs s {};
  return ::statvfs("/dev/shm", &s) == 0 ? static_cast<double>(s.f_blocks - s.f_bfree) * static_cast<double>(s.f_frsize) : 0;
}

template <class Open>
sample timed(double handles, std::vector<double>& memory, const Open& open) {
  const double before = shared_memory_bytes();
  const auto began = std::chrono::steady_clock::now();
  const double cpu = thread_cpu_seconds();
  const auto opened = open();
  const double used = thread_cpu_seconds() - cpu;
  const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  memory.push_back((shared_memory_bytes() - before) / handles);
  return {used, wall, handles};
}

}  // namespace

int main(int argc, char** argv) {
  arguments args(argc, argv);
  const int repetitions = args.number("--repetitions", 3);
  const auto handles = static_cast<std::size_t>(args.number("--handles", 1000));
  args.done();
  raise_descriptor_limit();
  our_options o;
  o.max_message_size = 65536;
  std::vector<double> our_memory, peer_memory;
  pairs table("handle");
  const auto count = static_cast<double>(handles);
  table.run(
      fmt::format("open and join {} handles", handles), 5, repetitions,
      [&] { return timed(count, our_memory, [&] { return std::make_unique<our_side>("ours", handles, o); }); },
      [&] { return timed(count, peer_memory, [&] { return std::make_unique<libcpg_peer>("peer", handles); }); }, true);
  const bool fast = table.print();
  std::sort(our_memory.begin(), our_memory.end());
  std::sort(peer_memory.begin(), peer_memory.end());
  const double ours = our_memory[our_memory.size() / 2], peers = peer_memory[peer_memory.size() / 2];
  fmt::print("\nshared memory of a handle: cpgring {:.0f} bytes, libcpg {:.0f} bytes, {:.1f} times less; wanted >= 12\n", ours, peers,
             peers / ours);
  return fast && peers / ours >= 12 ? 0 : 1;
}
