// CPU time for each event that waits already.
//
// The handles of each side multicast to their own groups. An observer's messages, sent afterwards, show that
// the service has delivered all of it. Then the side takes its events, including the wake-up.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "peers/libcpg_peer.hpp"
#include "peers/libcpg_threads.hpp"
#include "suites/suite.hpp"
#include "support/alternate.hpp"
#include "support/clocks.hpp"
#include "support/observer.hpp"
#include "support/our_side.hpp"
#include "support/results.hpp"

namespace cpgring::bench {
namespace {

const std::string payload(64, 'x');
const std::string with_epoll = "libcpg with epoll", with_threads = "libcpg with a thread a handle";
/// More events at once do not fill a ring better, but take the service long to write: 200000 with 4000
/// connected handles 45 s.
constexpr std::size_t waiting_max = 100000;
constexpr std::size_t threads_max = 100;
/// Above this number, libcpg's 3.1 MiB for each handle leave room for one side at a time.
constexpr std::size_t open_together_max = 1000;
/// Events that a repetition takes, in as many rounds as that needs, up to rounds_max.
constexpr std::size_t samples_of = 200;
/// Each round takes some milliseconds, in which the service delivers everything and becomes idle.
constexpr std::size_t rounds_max = 100;

/// A side that is kept open between repetitions, or opened again in each.
template <class Side>
class opened {
 public:
  opened(bool keep, std::function<std::unique_ptr<Side>()> open) : keep_(keep), open_(std::move(open)) {}
  template <class Work>
  void with(const Work& work) {
    if (!side_) {
      side_ = open_();
    }
    work(*side_);
    if (!keep_) {
      side_.reset();
    }
  }

 private:
  bool keep_;
  std::function<std::unique_ptr<Side>()> open_;
  std::unique_ptr<Side> side_;
};

struct figures {
  std::vector<double> cpu, wall;
  void add(const cost& c) {
    cpu.push_back(c.cpu_ns);
    wall.push_back(c.wall_ns);
  }
};

/// The median, not the mean: whatever interrupts one round in ten costs fifty times as much as an event
/// (docs/decisions/003-event-path.md).
template <class Round>
cost median_of(std::size_t rounds, const Round& round) {
  figures all;
  for (std::size_t i = 0; i < rounds; ++i) {
    all.add(round());
  }
  return {median(all.cpu), median(all.wall)};
}

struct our_variant {
  const char* name;
  wakeup backend;
  std::uint32_t workers;
};
constexpr our_variant variants[] = {
    {"futex", wakeup::futex, 0}, {"epoll", wakeup::epoll, 0}, {"1 worker", wakeup::automatic, 1}};

double wanted(std::size_t handles, std::size_t burst, const our_variant& v) {
  const std::map<std::pair<std::size_t, std::size_t>, double> targets{
      {{1, 1000}, 15}, {{100, 200}, 20}, {{1000, 20}, 8}};
  const auto found = targets.find({handles, burst});
  if (found == targets.end() || v.workers != 0 || v.backend == wakeup::epoll) {
    return 1;
  }
  return found->second;
}

/// Runs all bursts in each repetition, so that a side which is too large to keep is opened once for all of
/// them.
void run_case(std::size_t handles, const std::vector<std::size_t>& bursts, const settings& s, results& r,
              observer& watch) {
  const bool keep = handles <= open_together_max;
  // Opening 4096 handles takes libcpg more than a minute, and corosync searches all of them for each message.
  // So such a side is opened once, and takes two samples.
  const int repetitions = keep ? s.repeat(7, handles < open_together_max ? 3 : 1) : 1;
  const int samples_of_each = keep ? 1 : s.repeat(2, 1);
  std::map<std::string, std::map<std::size_t, figures>> found;
  std::vector<side> sides;
  const auto repetition = [&](auto& rival, std::map<std::size_t, figures>& into, const auto& take) {
    return [&, take] {
      rival.with([&](auto& one) {
        for (std::size_t i = 0; i < bursts.size() * static_cast<std::size_t>(samples_of_each); ++i) {
          const std::size_t burst = bursts[i % bursts.size()];
          const std::size_t rounds =
              std::clamp<std::size_t>(samples_of / (handles * burst) / (s.quick ? 4 : 1), 1, rounds_max);
          into[burst].add(median_of(rounds, [&] {
            one.wait_until_idle(burst);
            fill(one, burst, payload);
            watch.wait_for_the_service();
            return cost_of(static_cast<double>(handles * burst), [&] { take(one, handles * burst); });
          }));
        }
      });
    };
  };
  const auto take = [](auto& one, std::uint64_t events) { one.take(events); };

  std::vector<std::unique_ptr<opened<our_side>>> ours;
  for (const auto& v : variants) {
    if (handles >= (s.quick ? open_together_max : open_together_max + 1) &&
        (v.workers != 0 || v.backend == wakeup::epoll)) {
      continue;
    }
    our_options o;
    o.service = s.service;
    o.service_uid = s.service_uid;
    o.backend = v.backend;
    o.workers = v.workers;
    // Rings of 64 KiB from the number of handles on at which 3 MiB for each would be unreasonable.
    o.ring_bytes = handles >= open_together_max ? 65536 : std::uint32_t{1} << 20;
    ours.push_back(std::make_unique<opened<our_side>>(keep, [handles, o, &v] {
      return std::make_unique<our_side>(fmt::format("ours-{}", v.name), handles, o);
    }));
    sides.push_back({v.name, repetition(*ours.back(), found[v.name], take)});
  }
  opened<libcpg_peer> by_epoll(keep, [&] { return std::make_unique<libcpg_peer>("peer", handles); });
  sides.push_back({with_epoll, repetition(by_epoll, found[with_epoll], take)});
  opened<libcpg_threads> by_threads(true,
                                    [&] { return std::make_unique<libcpg_threads>("threads", handles); });
  if (handles <= threads_max) {
    sides.push_back({with_threads, repetition(by_threads, found[with_threads],
                                              [](libcpg_threads& one, std::uint64_t) { one.take(); })});
  }
  alternate(fmt::format("{} handles", handles), repetitions, sides);

  for (const std::size_t burst : bursts) {
    const std::string name = fmt::format("{} x {}", handles, burst);
    const figures& peer = found[with_epoll][burst];
    for (const auto& v : variants) {
      if (!found.contains(v.name)) {
        continue;
      }
      r.want(fmt::format("{}, {}", name, v.name), "ns of CPU an event", better::lower,
             found[v.name][burst].cpu, peer.cpu, with_epoll, wanted(handles, burst, v));
    }
    r.add(fmt::format("{}, futex, wall", name), "ns an event", better::lower, found["futex"][burst].wall,
          peer.wall, with_epoll);
    if (handles <= threads_max) {
      r.add(fmt::format("{}, futex, against threads", name), "ns of CPU an event", better::lower,
            found["futex"][burst].cpu, found[with_threads][burst].cpu, with_threads);
    }
  }
}

}  // namespace

void run_dispatch(const settings& s, results& r) {
  using list = std::vector<std::size_t>;
  const list handles = !s.handles.empty() ? s.handles
                       : s.quick          ? list{1, 100, 1000}
                                          : list{1, 16, 100, 1000, 4096};
  const list bursts = !s.bursts.empty() ? s.bursts : s.quick ? list{1, 20, 1000} : list{1, 20, 200, 1000};
  std::optional<observer> watch;  // created once there is a case to run
  for (const std::size_t h : handles) {
    list here;
    for (const std::size_t b : bursts) {
      if (!s.wanted(fmt::format("{} x {}", h, b))) {
        continue;
      }
      if (h * b > (s.quick ? waiting_max / 4 : waiting_max) && s.handles.empty()) {
        r.note(fmt::format("{} x {}: left out, because {} events would wait at once", h, b, h * b));
      } else {
        here.push_back(b);
      }
    }
    if (!here.empty()) {
      run_case(h, here, s, r, watch ? *watch : watch.emplace());
    }
  }
  // How much more an event costs with many handles than with few, in bursts of 20.
  const auto cpu_at = [&r](std::size_t h) -> const row* {
    const auto found = std::find_if(r.rows().begin(), r.rows().end(), [&](const row& one) {
      return one.name == fmt::format("{} x 20, futex", h);
    });
    return found == r.rows().end() ? nullptr : &*found;
  };
  const row *few = cpu_at(handles.front()), *many = cpu_at(handles.back());
  if (few != nullptr && many != nullptr && few != many && many->peer && few->ours > 0 && *few->peer > 0) {
    row& growth =
        r.add(fmt::format("growth from {} to {} handles, x 20", handles.front(), handles.back()), "times",
              better::lower, {many->ours / few->ours}, {*many->peer / *few->peer}, with_epoll);
    growth.wanted = 3;
    growth.ours_at_most = true;
  }
}

}  // namespace cpgring::bench
