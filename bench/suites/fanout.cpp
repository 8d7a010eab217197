// One message to every member of a group: the time until the last member has it, and the CPU time of all
// members.
//
// On our side all members are handles of one engine, each of them a process of its own for the service.
// libcpg cannot do that: a process can be in a group only once, so its members are processes.
#include <memory>

#include <fmt/format.h>

#include "cli/unique_name.hpp"
#include "peers/libcpg_processes.hpp"
#include "suites/suite.hpp"
#include "support/alternate.hpp"
#include "support/clocks.hpp"
#include "support/observer.hpp"
#include "support/our_side.hpp"
#include "support/results.hpp"

namespace cpgring::bench {
namespace {

constexpr std::size_t processes_max = 128;
constexpr std::uint64_t batch = 16;  ///< messages sent before the first is waited for

}  // namespace

void run_fanout(const settings& s, results& r) {
  using list = std::vector<std::size_t>;
  const std::string payload(64, 'x');
  for (const std::size_t members : !s.handles.empty() ? s.handles
                                   : s.quick          ? list{16}
                                                      : list{2, 16, 64, 1000}) {
    const std::string name = fmt::format("1 to {}", members);
    if (!s.wanted(name)) {
      continue;
    }
    const std::size_t batches = std::max<std::size_t>(1, (s.quick ? 20000 : 100000) / (members * batch));
    const auto deliveries = static_cast<double>(members * batch * batches);
    std::vector<double> our_wall, our_cpu, peer_wall, peer_cpu;
    std::unique_ptr<libcpg_processes> peer;
    std::vector<side> sides;
    if (members <= processes_max) {  // forked first, from a process with one thread
      peer = std::make_unique<libcpg_processes>(cli::unique_name("peer"), members, batch);
      sides.push_back({"libcpg", [&] {
                         const double cpu = peer->cpu_seconds();
                         const auto began = now_ns();
                         for (std::size_t i = 0; i < batches; ++i) {
                           peer->send_batch(payload);
                         }
                         peer_wall.push_back(static_cast<double>(now_ns() - began) / deliveries);
                         peer_cpu.push_back((peer->cpu_seconds() - cpu) * 1e9 / deliveries);
                       }});
    } else {
      r.note(fmt::format("{}: left out for libcpg, which would need as many processes", name));
    }
    our_options o;
    o.service = s.service;
    o.service_uid = s.service_uid;
    o.ring_bytes = 65536;
    o.one_group = true;
    our_side ours("ours", members, o);
    ours.wait_until_idle();
    sides.push_back({"cpgring", [&] {
                       const cost c = cost_of(deliveries, [&] {
                         for (std::size_t i = 0; i < batches; ++i) {
                           ours.together([&] {
                             for (std::uint64_t k = 0; k < batch; ++k) {
                               send_retrying(ours, 0, payload);
                             }
                           });
                           ours.take(batch * members);
                         }
                       });
                       our_wall.push_back(c.wall_ns);
                       our_cpu.push_back(c.cpu_ns);
                     }});
    alternate(name, s.repeat(9, 5), sides);
    r.add(fmt::format("{}, wall", name), "ns a delivery", better::lower, our_wall, peer_wall,
          "libcpg, a process a member");
    r.add(fmt::format("{}, CPU", name), "ns of CPU a delivery", better::lower, our_cpu, peer_cpu,
          "libcpg, a process a member");
  }
}

}  // namespace cpgring::bench
