// Callbacks on workers against callbacks inline: the cost of the hand-off, and the gain of a second core.
//
// The same events wait in the same rings. CPU time is that of the whole process, so it includes both ends of
// a hand-off.
#include <optional>

#include <fmt/format.h>

#include "suites/suite.hpp"
#include "support/alternate.hpp"
#include "support/clocks.hpp"
#include "support/observer.hpp"
#include "support/our_side.hpp"
#include "support/results.hpp"

namespace cpgring::bench {
namespace {

constexpr std::size_t handles = 16;

struct scenario {
  std::uint32_t workers;
  std::chrono::nanoseconds work;
  std::size_t burst;
};
constexpr scenario scenarios[] = {{1, std::chrono::nanoseconds(0), 1000},
                                  {2, std::chrono::nanoseconds(0), 1000},
                                  {2, std::chrono::microseconds(2), 500}};

}  // namespace

void run_workers(const settings& s, results& r) {
  const std::string payload(64, 'x');
  std::optional<observer> observing;  // created once there is a case to run
  for (const auto& one : scenarios) {
    const std::string name = fmt::format("{} worker{}, {} us of work", one.workers,
                                         one.workers == 1 ? "" : "s", one.work.count() / 1000);
    if (!s.wanted(name)) {
      continue;
    }
    observer& watch = observing ? *observing : observing.emplace();
    our_options o;
    o.service = s.service;
    o.service_uid = s.service_uid;
    o.work = one.work;
    our_side alone("inline", handles, o);
    o.workers = one.workers;
    our_side on_workers("workers", handles, o);
    std::vector<cost> us, them;
    const auto repetition = [&](our_side& which, std::vector<cost>& into) {
      return [&] {
        fill(which, one.burst, payload);
        watch.wait_for_the_service();
        into.push_back(
            cost_of(static_cast<double>(handles * one.burst), [&] { which.take(handles * one.burst); }));
      };
    };
    alternate(name, s.repeat(11, 5),
              {{"workers", repetition(on_workers, us)}, {"inline", repetition(alone, them)}});
    const auto of = [](const std::vector<cost>& costs, double cost::*which) {
      std::vector<double> values;
      for (const cost& c : costs) {
        values.push_back(c.*which);
      }
      return values;
    };
    const auto our_cpu = of(us, &cost::cpu_ns), inline_cpu = of(them, &cost::cpu_ns);
    r.add(fmt::format("{}, CPU", name), "ns of CPU an event, both ends", better::lower, our_cpu, inline_cpu,
          "cpgring inline");
    row& wall = r.add(fmt::format("{}, wall", name), "ns an event", better::lower, of(us, &cost::wall_ns),
                      of(them, &cost::wall_ns), "cpgring inline");
    if (one.work.count() != 0) {
      wall.wanted = 1.6;
    } else if (one.workers == 1) {
      row& added = r.add(fmt::format("{}, added by the hand-off", name), "ns of CPU an event", better::lower,
                         {median(our_cpu) - median(inline_cpu)}, {}, "cpgring inline");
      added.wanted = 60;
      added.ours_at_most = true;
    }
  }
}

}  // namespace cpgring::bench
