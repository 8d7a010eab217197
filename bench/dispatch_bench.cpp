// CPU per event of events that wait already: cpgring against stock libcpg with epoll, on one service, alternating.
//
// Each side's handles multicast to their own groups; a marker that an observer sends afterwards shows that the service has handed all of it
// out. Then the side takes its events, wake-up included, and its thread's CPU time is read before and after.
//
//   scripts/with-corosync -- build/release/bench/dispatch_bench [--repetitions N] [--max-message-size BYTES] [--only NAME]
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "peers/libcpg_peer.hpp"
#include "support/arguments.hpp"
#include "support/cpu_time.hpp"
#include "support/our_side.hpp"
#include "support/pairs.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::bench;

const std::string payload(64, 'x');

/// Sends until `count` were taken by each handle; the service says try-again while its queue is full.
template <class Side>
void fill(Side& side, std::size_t handles, std::size_t count) {
  for (std::size_t round = 0; round < count; ++round) {
    for (std::size_t i = 0; i < handles; ++i) {
      while (!side.multicast(i, payload)) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    }
  }
}

/// One handle of libcpg's whose own messages come back behind everything that the service had taken before.
class observer {
 public:
  observer() : peer_(fmt::format("observer-{}", ::getpid()), 1) {}
  void wait_for_the_service() {
    for (int i = 0; i < 20;
         ++i) {  // one of them may overtake what still waits in request rings; the service takes a part of these in each of its turns
      while (!peer_.multicast(0, payload)) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
      peer_.take(1);
    }
  }

 private:
  libcpg_peer peer_;
};

template <class Side>
sample measure(Side& side, std::size_t events) {
  const auto began = std::chrono::steady_clock::now();
  const double cpu = thread_cpu_seconds();
  side.take(events);
  const double used = thread_cpu_seconds() - cpu;
  return {used, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(), static_cast<double>(events)};
}

struct scenario {
  std::size_t handles, waiting;
  wakeup backend;
  double at_least;
};

void run(pairs& table, const scenario& s, int repetitions, std::uint32_t max_message_size) {
  observer watch;
  our_options o;
  o.backend = s.backend;
  o.max_message_size = max_message_size;
  our_side ours("ours", s.handles, o);
  libcpg_peer peer("peer", s.handles);
  const std::size_t events = s.handles * s.waiting;
  table.run(
      fmt::format("{} x {}, {}", s.handles, s.waiting, to_string(s.backend)), s.at_least, repetitions,
      [&] {
        ours.settle();
        fill(ours, s.handles, s.waiting);
        watch.wait_for_the_service();
        return measure(ours, events);
      },
      [&] {
        fill(peer, s.handles, s.waiting);
        watch.wait_for_the_service();
        return measure(peer, events);
      });
}

}  // namespace

int main(int argc, char** argv) {
  arguments args(argc, argv);
  const int repetitions = args.number("--repetitions", 9);
  const auto size = static_cast<std::uint32_t>(args.number("--max-message-size", 1 << 20));
  const std::string only = args.text("--only", "");
  args.done();
  raise_descriptor_limit();
  pairs table("event");
  const scenario all[] = {
      {1, 1000, wakeup::futex, 15}, {100, 200, wakeup::futex, 20}, {1000, 20, wakeup::futex, 8},
      {1, 1000, wakeup::socket, 3}, {1, 1000, wakeup::epoll, 0},
  };
  for (const scenario& s : all) {
    if (only.empty() || fmt::format("{} x {}, {}", s.handles, s.waiting, to_string(s.backend)).find(only) != std::string::npos) {
      run(table, s, repetitions, size);
    }
  }
  return table.print() ? 0 : 1;
}
