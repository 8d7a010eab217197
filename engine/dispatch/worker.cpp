#include "dispatch/worker.hpp"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "base/own_thread.hpp"
#include "base/relax.hpp"
#include "base/settle_thread.hpp"
#include "dispatch/deliver.hpp"

namespace cpgring::dispatch {
namespace {

// Messages served between two receipts: as many as are done in about this time, so that a slow callback is told of at once.
constexpr base::nanoseconds run_time{20000};
constexpr std::uint32_t run_length_max = 64;
constexpr base::nanoseconds told_interval{200000};
// Longest look before a sleep: about what putting a thread to sleep and waking it costs in CPU time. A reactor under load hands over more
// at a time than such a look would see (crew::publish).
constexpr base::nanoseconds window_max{10000};

[[nodiscard]] bool anything_in(feed& one) noexcept { return !one.express_ends.out.empty() || !one.work_ends.out.empty(); }

}  // namespace

worker::worker(std::vector<way> from, std::string name, int cpu, idle strategy)
    : name_(std::move(name)), cpu_(cpu), idle_(strategy, window_max) {
  for (auto& one : from) {
    inlets_.push_back({std::move(one)});
  }
  thread_ = base::start_own_thread([this] { loop(); });
}

worker::~worker() {
  stop();
  thread_.join();
}

void worker::stop() noexcept {
  stop_.store(true, std::memory_order_relaxed);
  asleep_.wake();
}

void worker::loop() {
  base::settle_thread(name_, cpu_);
  while (!stop_.load(std::memory_order_relaxed)) {
    bool any = false;
    for (auto& in : inlets_) {
      any = serve(in) || any;
    }
    if (!any) {
      rest();
    }
  }
}

void worker::rest() {
  if (!idle_.sleeps()) {
    idle_.yields() ? static_cast<void>(::sched_yield()) : base::relax();
    return;
  }
  const auto began = base::clock::now();
  if (look_a_while(began)) {
    return;
  }
  asleep_.announce();
  if (!something_waits() && !stop_.load(std::memory_order_relaxed)) {
    asleep_.sleep();
    idle_.slept(base::clock::now() - began);
  }
  asleep_.awake();
}

bool worker::something_waits() noexcept {
  return std::any_of(inlets_.begin(), inlets_.end(), [](const inlet& in) { return anything_in(*in.from.queues); });
}

bool worker::look_a_while(base::time_point began) {
  const base::nanoseconds window = idle_.window();
  if (window.count() == 0) {
    return false;
  }
  const auto end = began + window;
  for (std::uint32_t round = 1; !stop_.load(std::memory_order_relaxed); ++round) {
    if (something_waits()) {
      return true;
    }
    base::relax();
    if (round % 16 == 0 && base::clock::now() >= end) {
      break;
    }
  }
  return false;
}

bool worker::serve_errands(inlet& in) {
  feed& from = *in.from.queues;
  auto& express = from.express_ends.out;
  bool any = false;
  while (!express.empty() && !stop_.load(std::memory_order_relaxed)) {
    errand& one = express.front();
    worker_target* const to = one.to;
    std::unique_ptr<error> failure;
    if (auto thrown = deliver(one.run)) {
      failure = std::make_unique<error>(std::move(*thrown));
    }
    express.release(1);  // what the errand holds goes here, not on the reactor's thread
    CPGRING_CHECK(from.back_ends.in.emplace(receipt{to, 0, 0, 1, 0, std::move(failure)}));
    in.from.told(!anything_in(from));
    any = true;
  }
  return any;
}

/// Waking the reactor for every few receipts would cost more than the messages: it is told when the queue is empty, when it has become half
/// empty, and otherwise no more often than told_interval. Nothing is lost by that: where something is left, another call follows.
void worker::tell(inlet& in, base::time_point now) {
  feed& from = *in.from.queues;
  const std::size_t half = from.work.capacity() / 4, left = from.work_ends.out.available(half + 1);
  const bool was_fuller = std::exchange(in.fuller_than_half, left > half);
  if (left == 0 || (was_fuller && left <= half) || now - in.told_at >= told_interval) {
    in.told_at = now;
    in.from.told(left == 0 && from.express_ends.out.empty());
  }
}

bool worker::serve(inlet& in) {
  bool any = serve_errands(in);
  feed& from = *in.from.queues;
  auto& work = from.work_ends.out;
  const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(work.available(run_length_max), run_length_max));
  auto before = count != 0 ? base::clock::now() : base::time_point();
  std::uint32_t at = 0;
  while (at < count && !stop_.load(std::memory_order_relaxed)) {
    worker_target* const to = work.front(at).to;
    std::uint32_t run = 1;
    while (at + run < count && run < run_length_ && work.front(at + run).to == to) {
      ++run;
    }
    from.claim(work.begin() + at + run);
    at += to->run(from, at, run);
    // Twice as many the next time while that is quick, one at a time as soon as it is not.
    const auto now = base::clock::now();
    const bool quick = now - std::exchange(before, now) < run_time;
    run_length_ = quick ? std::min(run_length_ * 2, run_length_max) : 1;
    if (!quick || !from.express_ends.out.empty()) {
      break;
    }
  }
  if (at != 0) {
    work.release(at);
    tell(in, before);
    any = true;
  }
  return any;
}

}  // namespace cpgring::dispatch
