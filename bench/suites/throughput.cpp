// The maximum number of messages per second, by size; one handle and many.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "peers/libcpg_peer.hpp"
#include "suites/suite.hpp"
#include "support/alternate.hpp"
#include "support/clocks.hpp"
#include "support/our_side.hpp"
#include "support/pump.hpp"
#include "support/results.hpp"

namespace cpgring::bench {
namespace {

struct figures {
  std::vector<double> rate, cpu;
  template <class Work>
  void measure(std::uint64_t messages, const Work& work) {
    const cost c = cost_of(static_cast<double>(messages), work);
    rate.push_back(1e9 / c.wall_ns);
    cpu.push_back(c.cpu_ns);
  }
};

/// The intended use of this engine: it reports when it accepts messages again.
void as_writable_says(our_side& us, std::uint64_t messages, const std::string& payload) {
  std::uint64_t sent = 0;
  const std::function<void()> send = [&] {
    while (sent < messages && us.multicast(static_cast<std::size_t>(sent % us.handles()), payload)) {
      ++sent;
    }
  };
  us.on_writable(send);
  static_cast<void>(us.loop().post(send));
  us.take(messages);
  us.on_writable({});
}

}  // namespace

void run_throughput(const settings& s, results& r) {
  using list = std::vector<std::size_t>;
  const list handle_counts = s.handles.empty() ? list{1, 100} : s.handles;
  const list sizes = !s.sizes.empty() ? s.sizes
                     : s.quick        ? list{64, 16384, 1047552}
                                      : list{64, 256, 1024, 4096, 16384, 65536, 262144, 1047552, 1048576};
  const double bytes_of_a_run = s.quick ? 16e6 : 96e6;
  for (const std::size_t handles : handle_counts) {
    const auto name_of = [handles](std::size_t size) {
      return fmt::format("{} bytes, {}", size,
                         handles == 1 ? "1 handle" : fmt::format("{} handles", handles));
    };
    list wanted = sizes;
    std::erase_if(wanted, [&](std::size_t size) { return !s.wanted(name_of(size)); });
    if (wanted.empty()) {
      continue;
    }
    our_options o;
    o.service = s.service;
    o.service_uid = s.service_uid;
    our_side ours("ours", handles, o), ours_same("ours-same", handles, o);
    libcpg_peer peer("peer", handles);
    for (const std::size_t size : wanted) {
      const std::string name = name_of(size);
      const auto messages = static_cast<std::uint64_t>(
          std::clamp(bytes_of_a_run / static_cast<double>(size), 30.0, s.quick ? 50000.0 : 200000.0));
      const std::string payload(size, 'x');
      figures us, us_same, them;
      alternate(
          name, s.repeat(7, 3),
          {{"cpgring", [&] { us.measure(messages, [&] { as_writable_says(ours, messages, payload); }); }},
           {"cpgring, same loop",
            [&] { us_same.measure(messages, [&] { pump(ours_same, messages, payload); }); }},
           {"libcpg", [&] { them.measure(messages, [&] { pump(peer, messages, payload); }); }}});
      r.want(name, "messages a second", better::higher, us.rate, them.rate, "libcpg",
             size == 64 && handles == 1 ? 2.5 : 1);
      r.add(fmt::format("{}, same loop", name), "messages a second", better::higher, us_same.rate, them.rate,
            "libcpg");
      r.add(fmt::format("{}, CPU", name), "ns of CPU a message", better::lower, us.cpu, them.cpu, "libcpg");
    }
  }
}

}  // namespace cpgring::bench
