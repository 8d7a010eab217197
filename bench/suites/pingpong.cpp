// From a multicast to its own delivery, with one message under way: what a request over CPG costs in time.
#include <functional>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <cpgring/histogram.hpp>

#include "peers/libcpg_peer.hpp"
#include "suites/suite.hpp"
#include "support/alternate.hpp"
#include "support/clocks.hpp"
#include "support/hgrm.hpp"
#include "support/observer.hpp"
#include "support/our_side.hpp"
#include "support/results.hpp"

namespace cpgring::bench {
namespace {

struct figures {
  std::vector<double> p50, p99, cpu;
  histogram all;
};

/// `trip` sends one message and returns when it is back.
void measure(figures& into, std::size_t trips, const std::function<void()>& trip) {
  histogram one;
  const double cpu = cpu_seconds();
  for (std::size_t i = 0; i < trips; ++i) {
    const auto began = now_ns();
    trip();
    one.record(now_ns() - began);
  }
  into.cpu.push_back((cpu_seconds() - cpu) * 1e9 / static_cast<double>(trips));
  into.p50.push_back(static_cast<double>(one.percentile(50)));
  into.p99.push_back(static_cast<double>(one.percentile(99)));
  into.all.merge(one);
}

}  // namespace

void run_pingpong(const settings& s, results& r) {
  const std::string payload(64, 'x');
  const std::size_t trips = s.quick ? 1000 : 4000;
  constexpr idle strategies[] = {idle::spin, idle::yield, idle::adaptive, idle::block};
  std::map<std::string, figures> found;
  std::vector<side> sides;
  std::vector<std::unique_ptr<our_side>> ours;
  for (const idle strategy : strategies) {
    our_options o;
    o.service = s.service;
    o.idle_strategy = strategy;
    const std::string name(to_string(strategy));
    auto& us = *ours.emplace_back(std::make_unique<our_side>(fmt::format("ours-{}", name), 1, o));
    sides.push_back({name, [&, &into = found[name]] {
                       measure(into, trips, [&] {
                         send_surely(us, 0, payload);
                         us.take(1);
                       });
                     }});
  }
  libcpg_peer peer("peer", 1);
  sides.push_back({"ONE", [&] {
                     measure(found["ONE"], trips, [&] {
                       send_surely(peer, 0, payload);
                       peer.take_as(CS_DISPATCH_ONE, 1);
                     });
                   }});
  sides.push_back({"ALL", [&] {
                     measure(found["ALL"], trips, [&] {
                       send_surely(peer, 0, payload);
                       peer.take(1);
                     });
                   }});
  alternate("pingpong", s.repeat(15, 5), sides);
  for (const idle strategy : strategies) {
    const std::string name(to_string(strategy));
    for (const char* how : {"ONE", "ALL"}) {
      const std::string theirs = fmt::format("libcpg, {}", how);
      r.want(fmt::format("{} against {}, p50", name, how), "ns", better::lower, found[name].p50, found[how].p50, theirs, 1);
      r.want(fmt::format("{} against {}, p99", name, how), "ns", better::lower, found[name].p99, found[how].p99, theirs, 1.25);
      r.add(fmt::format("{} against {}, CPU", name, how), "ns of CPU a trip", better::lower, found[name].cpu, found[how].cpu, theirs);
    }
  }
  for (const auto& [name, figures] : found) {
    write_hgrm(s.out, fmt::format("pingpong-{}", name), figures.all);
  }
}

}  // namespace cpgring::bench
