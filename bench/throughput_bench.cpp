// Messages a second through the service, as fast as it goes: multicast until try-again, then take what has come; cpgring against stock
// libcpg, alternating.
//
//   scripts/with-corosync -- build/release/bench/throughput_bench [--repetitions N] [--messages N] [--idle block|adaptive|spin|yield]
#include <chrono>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "peers/libcpg_peer.hpp"
#include "support/arguments.hpp"
#include "support/cpu_time.hpp"
#include "support/our_side.hpp"
#include "support/pairs.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::bench;

template <class Pass>
sample timed(std::uint64_t messages, const Pass& pass) {
  const auto began = std::chrono::steady_clock::now();
  const double cpu = thread_cpu_seconds();
  pass();
  const double used = thread_cpu_seconds() - cpu;
  return {used, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(), static_cast<double>(messages)};
}

/// The same loop for both: `take` is what the side does when the service takes no more.
template <class Side, class Take>
void pump(Side& side, std::uint64_t messages, const std::string& payload, const Take& take) {
  const std::uint64_t until = side.received() + messages;
  std::uint64_t sent = 0;
  while (side.received() < until) {
    side.together([&] {
      while (sent < messages && side.multicast(0, payload)) {
        ++sent;
      }
    });
    take();
  }
}

}  // namespace

int main(int argc, char** argv) {
  arguments args(argc, argv);
  const int repetitions = args.number("--repetitions", 9);
  const auto messages = static_cast<std::uint64_t>(args.number("--messages", 200000));
  const std::string strategy = args.text("--idle", "adaptive");
  args.done();
  our_options o;
  for (const idle one : {idle::block, idle::adaptive, idle::spin, idle::yield}) {
    if (to_string(one) == strategy) {
      o.idle_strategy = one;
    }
  }
  pairs table("message");
  const std::string payload(64, 'x');
  our_side ours("ours", 1, o);
  libcpg_peer peer("peer", 1);
  // Each side as its library is meant to be used: libcpg sends until try-again, then dispatches ALL, and so on; this engine is told when it
  // may send again. The second row has the very same loop on both.
  const auto ours_pass = [&] {
    const std::uint64_t until = ours.received() + messages;
    std::uint64_t sent = 0;
    std::function<void()> send = [&] {
      while (sent < messages && ours.multicast(0, payload)) {
        ++sent;
      }
    };
    ours.on_writable(send);
    static_cast<void>(ours.loop().post(send));
    ours.take(until - ours.received());
    ours.on_writable({});
  };
  table.run(
      "64 bytes, one handle, batches", 2.5, repetitions, [&] { return timed(messages, ours_pass); },
      [&] { return timed(messages, [&] { pump(peer, messages, payload, [&] { peer.dispatch_all(); }); }); }, true);
  table.run(
      "64 bytes, one handle, the same loop", 0, repetitions,
      [&] { return timed(messages, [&] { pump(ours, messages, payload, [&] { static_cast<void>(ours.take_what_waits()); }); }); },
      [&] { return timed(messages, [&] { pump(peer, messages, payload, [&] { peer.dispatch_all(); }); }); }, true);
  return table.print() ? 0 : 1;
}
