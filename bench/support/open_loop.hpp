// An open loop: messages are due at fixed times, however slow the service is, and latency counts from the
// time at which each was due.
//
// A measurement from the moment of sending would hide delays: while the service stands still nothing is sent,
// so nothing is late. Here a message that can't be sent stays due. A message that was never sent or never
// arrived counts with its delay at the end.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include <cpgring/histogram.hpp>

#include "support/clocks.hpp"

namespace cpgring::bench {

struct open_loop_plan {
  double per_second = 1000;
  std::uint64_t messages = 1000;
  std::size_t payload_bytes = 64;
  /// Maximum time without any arrival, and after the last message was due. Missing messages then count with
  /// their delay.
  std::uint64_t patience_ns = 5000000000;
};

struct open_loop_outcome {
  std::uint64_t sent = 0, received = 0;
  double cpu_seconds = 0;
  [[nodiscard]] bool complete(const open_loop_plan& plan) const noexcept { return received == plan.messages; }
};

/// The machine's clock. Tests use another one.
struct steady {
  static std::uint64_t now() noexcept { return now_ns(); }
};

/// Side has: multicast(index, payload), false: not now; take_until(deadline); measure_latency(histogram*),
/// which records for each message how long ago the time in its first eight bytes is; received(); handles().
template <class Clock = steady, class Side>
open_loop_outcome run_open_loop(Side& side, const open_loop_plan& plan, histogram& latency) {
  constexpr std::uint64_t sends_in_a_turn = 64;  // arrivals are taken between them
  constexpr std::uint64_t retry_ns = 100000;     // a refused message is tried again after this time
  constexpr std::uint64_t poll_ns = 10000000;    // once nothing is left to send
  std::string payload(std::max<std::size_t>(plan.payload_bytes, sizeof(std::uint64_t)), 'x');
  const std::uint64_t before = side.received();
  const double cpu = cpu_seconds();
  const std::uint64_t began = Clock::now();
  const auto due = [&](std::uint64_t i) {
    return began + static_cast<std::uint64_t>(static_cast<double>(i) * 1e9 / plan.per_second);
  };
  const auto arrived = [&] { return side.received() - before; };

  side.measure_latency(&latency);
  std::uint64_t next = 0, last_arrival = began, seen = 0;
  while (seen < plan.messages) {
    std::uint64_t now = Clock::now();
    bool refused = false;
    for (std::uint64_t burst = 0; next < plan.messages && due(next) <= now && burst < sends_in_a_turn;
         ++burst) {
      const std::uint64_t at = due(next);
      std::memcpy(payload.data(), &at, sizeof at);
      if (!side.multicast(static_cast<std::size_t>(next % side.handles()), payload)) {
        refused = true;
        break;
      }
      ++next;
    }
    side.take_until(refused ? now + retry_ns : next < plan.messages ? due(next) : now + poll_ns);
    now = Clock::now();
    if (arrived() != seen) {
      seen = arrived();
      last_arrival = now;
    }
    if (now - last_arrival > plan.patience_ns || now > due(plan.messages) + plan.patience_ns) {
      break;
    }
  }
  side.measure_latency(nullptr);
  const std::uint64_t ended = Clock::now();
  // Each missing message is at least this late. Which of the sent ones are missing is not known; in a total
  // order they are the latest ones.
  for (std::uint64_t i = seen; i < plan.messages; ++i) {
    latency.record(ended > due(i) ? ended - due(i) : 0);
  }
  return {next, seen, cpu_seconds() - cpu};
}

}  // namespace cpgring::bench
