// CPU time for each waiting event in each of the four dispatch modes; one handle.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/unique_name.hpp"
#include "peers/libcpg_peer.hpp"
#include "suites/suite.hpp"
#include "support/alternate.hpp"
#include "support/clocks.hpp"
#include "support/observer.hpp"
#include "support/our_side.hpp"
#include "support/results.hpp"

namespace cpgring::bench {
namespace {

struct dispatch_mode {
  const char* name;
  mode ours;
  cs_dispatch_flags_t theirs;
};
constexpr dispatch_mode modes[] = {{"one", mode::one, CS_DISPATCH_ONE},
                                   {"one_nonblocking", mode::one_nonblocking, CS_DISPATCH_ONE_NONBLOCKING},
                                   {"all", mode::all, CS_DISPATCH_ALL},
                                   {"blocking", mode::blocking, CS_DISPATCH_BLOCKING}};

void take_as(our_side& us, mode how, std::uint64_t events) {
  for (const std::uint64_t until = us.received() + events; us.received() < until;) {
    budget limit;
    if (how == mode::blocking) {  // like libcpg's side, which ends in the last callback
      limit.events = static_cast<std::uint32_t>(until - us.received());
    }
    static_cast<void>(us.loop().dispatch(how, limit));
  }
}

/// libcpg's BLOCKING ends only with the handle. So the handle is opened for one repetition, and finalized in
/// its last callback.
class blocking_peer {
 public:
  explicit blocking_peer(std::uint64_t events)
      : left_(events), member_(cli::unique_name("blocking"), deliver) {}
  bool multicast(std::size_t, std::string_view payload) { return member_.multicast(payload); }
  [[nodiscard]] static std::size_t handles() noexcept { return 1; }
  void take() {
    mine = this;
    static_cast<void>(::cpg_dispatch(member_.handle(), CS_DISPATCH_BLOCKING));
  }

 private:
  static void deliver(cpg_handle_t handle, const cpg_name*, std::uint32_t, std::uint32_t, void*,
                      std::size_t) {
    if (--mine->left_ == 0) {
      mine->member_.forget();
      ::cpg_finalize(handle);
    }
  }
  inline static blocking_peer* mine = nullptr;
  std::uint64_t left_;
  libcpg_member member_;
};

}  // namespace

void run_modes(const settings& s, results& r) {
  using list = std::vector<std::size_t>;
  const std::string payload(64, 'x');
  const auto name_of = [](const auto& m, std::size_t burst) {
    return fmt::format("{}, {} waiting", m.name, burst);
  };
  const auto bursts = !s.bursts.empty() ? s.bursts : s.quick ? list{200} : list{20, 200, 1000};
  if (std::none_of(bursts.begin(), bursts.end(), [&](std::size_t burst) {
        return std::any_of(std::begin(modes), std::end(modes),
                           [&](const auto& m) { return s.wanted(name_of(m, burst)); });
      })) {
    return;
  }
  observer watch;
  our_options o;
  o.service = s.service;
  o.service_uid = s.service_uid;
  our_side ours("ours", 1, o);
  libcpg_peer peer("peer", 1);
  for (const std::size_t burst : bursts) {
    const auto events = static_cast<double>(burst);
    for (const auto& m : modes) {
      const std::string name = name_of(m, burst);
      if (!s.wanted(name)) {
        continue;
      }
      std::vector<double> us, them;
      alternate(name, s.repeat(15, 7),
                {{"cpgring",
                  [&] {
                    ours.wait_until_idle();
                    fill(ours, burst, payload);
                    watch.wait_for_the_service();
                    us.push_back(cost_of(events, [&] { take_as(ours, m.ours, burst); }).cpu_ns);
                  }},
                 {"libcpg", [&] {
                    if (m.ours == mode::blocking) {
                      blocking_peer fresh(burst);
                      fill(fresh, burst, payload);
                      watch.wait_for_the_service();
                      them.push_back(cost_of(events, [&] { fresh.take(); }).cpu_ns);
                    } else {
                      fill(peer, burst, payload);
                      watch.wait_for_the_service();
                      them.push_back(cost_of(events, [&] { peer.take_as(m.theirs, burst); }).cpu_ns);
                    }
                  }}});
      r.want(name, "ns of CPU an event", better::lower, us, them, "libcpg", 1);
    }
  }
}

}  // namespace cpgring::bench
