// The time from a multicast to its own delivery, with one message in flight: the duration of a request over
// CPG.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

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

/// One of our idle strategies against one of libcpg's dispatch modes.
struct pair {
  idle strategy;
  const char* how;
  [[nodiscard]] std::string ours() const { return std::string(to_string(strategy)); }
  [[nodiscard]] std::string name() const { return fmt::format("{} against {}", ours(), how); }
};

/// `trip` sends one message and returns when it has come back.
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
  std::vector<pair> cases;
  std::map<std::string, figures> found;  // for the sides that these cases need
  for (const idle strategy : {idle::spin, idle::yield, idle::adaptive, idle::block}) {
    for (const char* how : {"ONE", "ALL"}) {
      if (const pair one{strategy, how}; s.wanted(one.name())) {
        cases.push_back(one);
        found[one.ours()], found[how];
      }
    }
  }
  if (cases.empty()) {
    return;
  }
  std::vector<side> sides;
  std::vector<std::unique_ptr<our_side>> ours;
  for (const pair& one : cases) {
    if (std::any_of(sides.begin(), sides.end(),
                    [&](const side& other) { return other.name == one.ours(); })) {
      continue;
    }
    our_options o;
    o.service = s.service;
    o.service_uid = s.service_uid;
    o.idle_strategy = one.strategy;
    auto& us = *ours.emplace_back(std::make_unique<our_side>(fmt::format("ours-{}", one.ours()), 1, o));
    sides.push_back({one.ours(), [&, &into = found[one.ours()]] {
                       measure(into, trips, [&] {
                         send_retrying(us, 0, payload);
                         us.take(1);
                       });
                     }});
  }
  libcpg_peer peer("peer", 1);
  if (found.contains("ONE")) {
    sides.push_back({"ONE", [&] {
                       measure(found["ONE"], trips, [&] {
                         send_retrying(peer, 0, payload);
                         peer.take_as(CS_DISPATCH_ONE, 1);
                       });
                     }});
  }
  if (found.contains("ALL")) {
    sides.push_back({"ALL", [&] {
                       measure(found["ALL"], trips, [&] {
                         send_retrying(peer, 0, payload);
                         peer.take(1);
                       });
                     }});
  }
  alternate("pingpong", s.repeat(15, 5), sides);
  for (const pair& one : cases) {
    const std::string theirs = fmt::format("libcpg, {}", one.how);
    const figures &us = found[one.ours()], &them = found[one.how];
    r.want(fmt::format("{}, p50", one.name()), "ns", better::lower, us.p50, them.p50, theirs, 1);
    r.want(fmt::format("{}, p99", one.name()), "ns", better::lower, us.p99, them.p99, theirs, 1.25);
    r.add(fmt::format("{}, CPU", one.name()), "ns of CPU a trip", better::lower, us.cpu, them.cpu, theirs);
  }
  for (const auto& [name, figures] : found) {
    write_hgrm(s.out, fmt::format("pingpong-{}", name), figures.all);
  }
}

}  // namespace cpgring::bench
