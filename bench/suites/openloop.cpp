// Latency at fixed rates: each message has an intended send time. A message is late whether the service, the
// library or this loop was busy.
//
// 100 handles by default. One thread sends and receives, in the same way on both sides. Rates are shares of
// the maximum rate of libcpg's side.
#include <sys/prctl.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "peers/libcpg_peer.hpp"
#include "suites/suite.hpp"
#include "support/alternate.hpp"
#include "support/hgrm.hpp"
#include "support/open_loop.hpp"
#include "support/our_side.hpp"
#include "support/pump.hpp"
#include "support/results.hpp"

namespace cpgring::bench {
namespace {

struct percentile {
  const char* name;
  double percent;
};
constexpr percentile percentiles[] = {{"p50", 50},     {"p90", 90},       {"p99", 99},
                                      {"p99.9", 99.9}, {"p99.99", 99.99}, {"max", 100}};

struct figures {
  std::map<std::string, std::vector<double>> at;
  std::vector<double> cpu;
  std::uint64_t incomplete = 0;
  histogram all;
};

template <class Side>
void measure(Side& side, const open_loop_plan& plan, figures& into) {
  histogram one;
  const auto outcome = run_open_loop(side, plan, one);
  into.incomplete += outcome.complete(plan) ? 0 : plan.messages - outcome.received;
  for (const auto& p : percentiles) {
    into.at[p.name].push_back(static_cast<double>(one.percentile(p.percent)));
  }
  into.cpu.push_back(outcome.cpu_seconds * 1e9 / static_cast<double>(plan.messages));
  into.all.merge(one);
}

/// Sets the timer slack of this thread to 1 ns. With the default slack the kernel lets timers be 50 us late,
/// which affects epoll but not io_uring. An open loop needs exact timers on both sides.
class punctual {
 public:
  punctual() : before_(::prctl(PR_GET_TIMERSLACK)) { ::prctl(PR_SET_TIMERSLACK, 1); }
  ~punctual() { ::prctl(PR_SET_TIMERSLACK, before_); }
  punctual(const punctual&) = delete;
  punctual& operator=(const punctual&) = delete;

 private:
  int before_;
};

double saturation(libcpg_peer& peer, std::uint64_t messages) {
  const auto began = now_ns();
  pump(peer, messages, std::string(64, 'x'));
  return static_cast<double>(messages) * 1e9 / static_cast<double>(now_ns() - began);
}

}  // namespace

void run_openloop(const settings& s, results& r) {
  std::vector<std::pair<std::string, double>> rates;  // second: a rate, or a share of libcpg's maximum
  for (const double rate : s.rates) {
    rates.emplace_back(fmt::format("{:.0f}/s", rate), rate);
  }
  if (s.rates.empty()) {
    for (const int percent :
         s.quick ? std::vector<int>{10, 50, 90} : std::vector<int>{1, 10, 25, 50, 75, 100}) {
      rates.emplace_back(fmt::format("{} % of saturation", percent), percent / 100.0);
    }
  }
  std::erase_if(rates, [&s](const auto& one) { return !s.wanted(one.first); });
  if (rates.empty()) {
    return;
  }
  const punctual timers;
  const std::size_t handles = s.handles.empty() ? 100 : s.handles.front();
  const double seconds = s.length.count() != 0 ? std::chrono::duration<double>(s.length).count()
                         : s.quick             ? 0.5
                                               : 3;
  our_options o;
  o.service = s.service;
  o.service_uid = s.service_uid;
  our_side ours("ours", handles, o);
  o.idle_strategy = idle::block;
  our_side blocking("ours-block", handles, o);
  libcpg_peer peer("peer", handles);
  std::vector<double> tries;
  for (int i = 0; i < 5; ++i) {
    tries.push_back(saturation(peer, s.quick ? 20000 : 100000));
  }
  const double most = median(tries);
  r.note(fmt::format("libcpg with epoll, {} handles, saturates at {:.0f} messages a second", handles, most));
  for (const auto& [name, number] : rates) {
    const double rate = s.rates.empty() ? most * number : number;
    open_loop_plan plan;
    plan.per_second = rate;
    plan.messages = std::max<std::uint64_t>(100, static_cast<std::uint64_t>(rate * seconds));
    figures us, us_blocking, them;
    alternate(name, s.repeat(5, 3),
              {{"cpgring", [&] { measure(ours, plan, us); }},
               {"cpgring, block", [&] { measure(blocking, plan, us_blocking); }},
               {"libcpg", [&] { measure(peer, plan, them); }}});
    for (const auto& p : percentiles) {
      row& found = r.add(fmt::format("{}, {}", name, p.name), "ns", better::lower, us.at[p.name],
                         them.at[p.name], "libcpg with epoll");
      if (name == "50 % of saturation" && p.name == std::string_view("p99")) {
        found.wanted = 2;
      }
    }
    r.add(fmt::format("{}, CPU", name), "ns of CPU a message", better::lower, us.cpu, them.cpu,
          "libcpg with epoll");
    r.add(fmt::format("{}, block, p99", name), "ns", better::lower, us_blocking.at["p99"], them.at["p99"],
          "libcpg with epoll");
    r.add(fmt::format("{}, block, CPU", name), "ns of CPU a message", better::lower, us_blocking.cpu,
          them.cpu, "libcpg with epoll");
    if (us.incomplete + them.incomplete != 0) {
      r.note(
          fmt::format("{}: {} messages of ours and {} of libcpg's had not arrived in time; they count with "
                      "their delay at the end",
                      name, us.incomplete, them.incomplete));
    }
    const std::string file = fmt::format("openloop-{:.0f}", rate);
    write_hgrm(s.out, file + "-cpgring", us.all);
    write_hgrm(s.out, file + "-block", us_blocking.all);
    write_hgrm(s.out, file + "-libcpg", them.all);
  }
}

}  // namespace cpgring::bench
