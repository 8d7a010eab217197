// Callbacks on workers against callbacks inline: what the hand-off costs, and what a second core brings.
//
// The same events wait in the same rings; both sides alternate. CPU time is the whole process's, so both ends of a hand-off are in it.
//
//   scripts/with-corosync -- build/release/bench/workers_bench [--repetitions N]
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include <cpgring/cpgring.hpp>

#include "peers/libcpg_peer.hpp"
#include "support/arguments.hpp"
#include "support/pairs.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::bench;
using clock_type = std::chrono::steady_clock;

const std::string payload(64, 'x');

double process_cpu_seconds() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

/// Handles in groups of their own, each with a counter of its own: with ordering::by_handle one worker writes it.
class side {
 public:
  side(std::string_view stem, std::size_t handles, std::uint32_t workers, std::chrono::nanoseconds work)
      : engine_([workers] {
          engine_options o;
          o.workers = workers;
          o.worker_queue = 32768;  // all that waits: no side is to wait for the other
          return o;
        }()),
        seen_(handles) {
    std::size_t joined = 0;
    for (std::size_t i = 0; i < handles; ++i) {
      handle_options o;
      o.group = fmt::format("{}-{}-{}", stem, ::getpid(), i);
      callbacks calls;
      calls.on_message = [this, i, work](handle&, const message&) {
        if (work.count() != 0) {
          for (const auto end = clock_type::now() + work; clock_type::now() < end;) {
          }
        }
        ++seen_[i].count;
      };
      auto opened = engine_.open(o, calls);
      if (!opened) {
        throw std::runtime_error(opened.error().message());
      }
      handles_.push_back(*opened);
    }
    while (joined < handles) {
      static_cast<void>(engine_.dispatch(mode::blocking, budget{0, 0, std::chrono::milliseconds(1)}));
      joined = 0;
      for (const auto& h : handles_) {
        joined += h.state() == handle_state::joined ? 1U : 0U;
      }
    }
  }
  void fill(std::size_t each) {
    for (std::size_t round = 0; round < each; ++round) {
      for (auto& h : handles_) {
        while (!h.multicast(payload)) {
          std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
      }
    }
    expected_ += each * handles_.size();
  }
  sample take(std::size_t events) {
    const auto began = clock_type::now();
    const double cpu = process_cpu_seconds();
    while (received() < expected_) {
      static_cast<void>(engine_.dispatch(mode::all));  // returns when the callbacks have run
    }
    const double used = process_cpu_seconds() - cpu;
    return {used, std::chrono::duration<double>(clock_type::now() - began).count(), static_cast<double>(events)};
  }

 private:
  struct alignas(64) counter {
    std::uint64_t count = 0;
  };
  [[nodiscard]] std::uint64_t received() const {
    std::uint64_t sum = 0;
    for (const auto& one : seen_) {
      sum += one.count;
    }
    return sum;
  }

  engine engine_;
  std::vector<counter> seen_;
  std::vector<handle> handles_;
  std::uint64_t expected_ = 0;
};

/// Shows that the service has handed out all that it had taken before.
class observer {
 public:
  observer() : peer_(fmt::format("observer-{}", ::getpid()), 1) {}
  void wait_for_the_service() {
    for (int i = 0; i < 20; ++i) {
      while (!peer_.multicast(0, payload)) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
      peer_.take(1);
    }
  }

 private:
  libcpg_peer peer_;
};

void run(pairs& table, const std::string& name, std::size_t handles, std::size_t waiting, std::uint32_t workers,
         std::chrono::nanoseconds work, int repetitions) {
  observer watch;
  side on_workers("workers", handles, workers, work), alone("inline", handles, 0, work);
  const auto one = [&](side& s) {
    s.fill(waiting);
    watch.wait_for_the_service();
    return s.take(handles * waiting);
  };
  table.run(
      name, 0, repetitions, [&] { return one(on_workers); }, [&] { return one(alone); });
}

}  // namespace

int main(int argc, char** argv) {
  arguments args(argc, argv);
  const int repetitions = args.number("--repetitions", 9);
  args.done();
  raise_descriptor_limit();
  pairs table("event");
  using std::chrono::nanoseconds;
  run(table, "1 worker, 16 x 1000, no work", 16, 1000, 1, nanoseconds(0), repetitions);
  run(table, "2 workers, 16 x 1000, no work", 16, 1000, 2, nanoseconds(0), repetitions);
  run(table, "2 workers, 16 x 500, 2 us of work", 16, 500, 2, nanoseconds(2000), repetitions);
  return table.print() ? 0 : 1;
}
