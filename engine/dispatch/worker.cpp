#include "dispatch/worker.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <utility>

#include "dispatch/deliver.hpp"

namespace cpgring::dispatch {
namespace {

// Messages served between two receipts: as many as are done in about this time, so that a slow callback is told of at once.
constexpr base::nanoseconds run_time{20000};
constexpr std::uint32_t run_length_max = 64;
constexpr base::nanoseconds told_interval{200000};
// A wake-up costs 10-30 us on a virtual machine; looking much longer than that never pays.
// At least as long as a reactor under load takes for what it hands over at a time.
constexpr base::nanoseconds window_max{50000}, window_min{5000};

void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

worker::worker(feed& from, std::string name, int cpu, std::function<void()> told)
    : feed_(from), name_(std::move(name)), cpu_(cpu), told_(std::move(told)), thread_([this] { loop(); }) {}

worker::~worker() {
  stop();
  thread_.join();
}

void worker::stop() noexcept {
  stop_.store(true, std::memory_order_relaxed);
  asleep_.wake();
}

void worker::loop() {
  ::pthread_setname_np(::pthread_self(), name_.c_str());
  if (cpu_ >= 0) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(cpu_), &one);
    ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);  // a CPU that is not there: not pinned
  }
  while (!stop_.load(std::memory_order_relaxed)) {
    if (serve() || look_a_while()) {
      continue;
    }
    asleep_.announce();
    if (!something_waits() && !stop_.load(std::memory_order_relaxed)) {
      const auto began = base::clock::now();
      asleep_.sleep();
      if (base::clock::now() - began < window_max) {
        window_ = std::min(window_max, std::max(window_min, window_ * 2));
      }
    }
    asleep_.awake();
  }
}

bool worker::something_waits() noexcept { return !feed_.express_ends.out.empty() || !feed_.work_ends.out.empty(); }

bool worker::look_a_while() {
  if (!may_look_) {
    return false;
  }
  const auto end = base::clock::now() + window_;
  for (std::uint32_t round = 1; !stop_.load(std::memory_order_relaxed); ++round) {
    if (something_waits()) {
      return true;
    }
    relax();
    if (round % 16 == 0 && base::clock::now() >= end) {
      break;
    }
  }
  window_ = std::max(window_min, window_ / 2);
  return false;
}

bool worker::serve_errands() {
  auto& express = feed_.express_ends.out;
  bool any = false;
  while (!express.empty() && !stop_.load(std::memory_order_relaxed)) {
    errand& one = express.front();
    worker_target* const to = one.to;
    std::unique_ptr<error> failure;
    if (auto thrown = deliver(one.run)) {
      failure = std::make_unique<error>(std::move(*thrown));
    }
    express.release(1);  // what the errand holds goes here, not on the reactor's thread
    CPGRING_CHECK(feed_.back_ends.in.emplace(receipt{to, 0, 0, 1, 0, std::move(failure)}));
    told_();
    any = true;
  }
  return any;
}

/// Waking the reactor for every few receipts would cost more than the messages: it is told when the queue is empty, when it has become half
/// empty, and otherwise no more often than told_interval. Nothing is lost by that: where something is left, another call follows.
void worker::tell(base::time_point now) {
  const std::size_t half = feed_.work.capacity() / 4, left = feed_.work_ends.out.available(half + 1);
  const bool was_fuller = std::exchange(fuller_than_half_, left > half);
  if (left == 0 || (was_fuller && left <= half) || now - told_at_ >= told_interval) {
    told_at_ = now;
    told_();
  }
}

bool worker::serve() {
  bool any = serve_errands();
  auto& work = feed_.work_ends.out;
  const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(work.available(run_length_max), run_length_max));
  auto before = count != 0 ? base::clock::now() : base::time_point();
  std::uint32_t at = 0;
  while (at < count && !stop_.load(std::memory_order_relaxed)) {
    worker_target* const to = work.front(at).to;
    std::uint32_t run = 1;
    while (at + run < count && run < run_length_ && work.front(at + run).to == to) {
      ++run;
    }
    feed_.claim(work.begin() + at + run);
    at += to->run(feed_, at, run);
    // Twice as many the next time while that is quick, one at a time as soon as it is not.
    const auto now = base::clock::now();
    const bool quick = now - std::exchange(before, now) < run_time;
    run_length_ = quick ? std::min(run_length_ * 2, run_length_max) : 1;
    if (!quick || !feed_.express_ends.out.empty()) {
      break;
    }
  }
  if (at != 0) {
    work.release(at);
    tell(before);
    any = true;
  }
  return any;
}

}  // namespace cpgring::dispatch
