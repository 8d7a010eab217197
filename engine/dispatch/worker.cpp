#include "dispatch/worker.hpp"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "base/hot.hpp"
#include "base/name_and_pin_thread.hpp"
#include "base/own_thread.hpp"
#include "base/relax.hpp"
#include "dispatch/deliver.hpp"

namespace cpgring::dispatch {
namespace {

// Messages processed between two reports: as many as take about this time, so that a slow callback is
// reported at once.
constexpr base::nanoseconds run_time{20000};
constexpr std::uint32_t run_length_max = 64;
constexpr base::nanoseconds report_interval{200000};

[[nodiscard]] bool has_items(worker_link& one) noexcept {
  return !one.exclusive_call_ends.out.empty() || !one.work_ends.out.empty();
}

}  // namespace

worker::worker(std::vector<client> clients, std::string name, int cpu, const base::idle_policy& idle)
    : name_(std::move(name)), cpu_(cpu), idle_(idle) {
  for (auto& one : clients) {
    clients_.push_back({std::move(one)});
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

CPGRING_HOT void worker::loop() {
  base::name_and_pin_thread(name_, cpu_);
  while (!stop_.load(std::memory_order_relaxed)) {
    bool any = false;
    for (auto& client : clients_) {
      any = serve(client) || any;
    }
    if (!any) {
      rest();
    }
  }
}

CPGRING_HOT void worker::rest() {
  if (!idle_.sleeps()) {
    idle_.yields() ? static_cast<void>(::sched_yield()) : base::relax();
    return;
  }
  const auto began = base::clock::now();
  const bool measured = idle_.measures(began);
  if (measured) [[unlikely]] {
    idle_.sample(began, base::usage_of_this_thread(idle_.polls_pay(false)));
  }
  if (spin_wait(began)) {
    return;
  }
  asleep_.announce();
  if (!any_ready() && !stop_.load(std::memory_order_relaxed)) {
    const auto used = measured ? base::thread_cpu_time() : base::nanoseconds(0);
    asleep_.sleep();
    if (measured) [[unlikely]] {
      idle_.sleep_cost(base::thread_cpu_time() - used);
    }
    idle_.waited(false, base::clock::now() - began, true);
  }
  asleep_.awake();
}

CPGRING_HOT bool worker::any_ready() noexcept {
  return std::any_of(clients_.begin(), clients_.end(),
                     [](const served_client& client) { return has_items(*client.from.link); });
}

CPGRING_HOT bool worker::spin_wait(base::time_point began) {
  const base::nanoseconds window = idle_.window(false);
  if (window.count() == 0) {
    return false;
  }
  const auto end = began + window;
  for (std::uint32_t round = 1; !stop_.load(std::memory_order_relaxed); ++round) {
    if (any_ready()) {
      idle_.waited(false, base::clock::now() - began, false);
      return true;
    }
    base::relax();
    if (round % 16 == 0 && base::clock::now() >= end) {
      idle_.polled_in_vain(window);
      break;
    }
  }
  return false;
}

CPGRING_HOT bool worker::serve_calls(served_client& client) {
  worker_link& from = *client.from.link;
  auto& express = from.exclusive_call_ends.out;
  bool any = false;
  while (!express.empty() && !stop_.load(std::memory_order_relaxed)) {
    exclusive_call& one = express.front();
    worker_target* const to = one.to;
    std::unique_ptr<error> failure;
    if (auto thrown = deliver(one.run)) {
      failure = std::make_unique<error>(std::move(*thrown));
    }
    express.release(1);  // destroys the call's captures here, not on the reactor's thread
    CPGRING_CHECK(from.back_ends.in.emplace(work_done{to, 0, 0, 1, 0, std::move(failure)}));
    client.from.reported(!has_items(from));
    any = true;
  }
  return any;
}

/// Waking the reactor for every few reports would cost more than the messages. So the worker wakes it when
/// the queue is empty, when it has become half empty, and otherwise once every report_interval. No wake-up is
/// lost: while messages are left, another call follows.
CPGRING_HOT void worker::report(served_client& client, base::time_point now) {
  worker_link& from = *client.from.link;
  const std::size_t half = from.work.capacity() / 4, left = from.work_ends.out.available(half + 1);
  const bool was_fuller = std::exchange(client.fuller_than_half, left > half);
  if (left == 0 || (was_fuller && left <= half) || now - client.reported_at >= report_interval) {
    client.reported_at = now;
    client.from.reported(left == 0 && from.exclusive_call_ends.out.empty());
  }
}

CPGRING_HOT bool worker::serve(served_client& client) {
  bool any = serve_calls(client);
  worker_link& from = *client.from.link;
  auto& work = from.work_ends.out;
  const auto count =
      static_cast<std::uint32_t>(std::min<std::size_t>(work.available(run_length_max), run_length_max));
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
    // The run doubles while it is quick, and falls back to one message as soon as it is not.
    const auto now = base::clock::now();
    const bool quick = now - std::exchange(before, now) < run_time;
    run_length_ = quick ? std::min(run_length_ * 2, run_length_max) : 1;
    if (!quick || !from.exclusive_call_ends.out.empty()) {
      break;
    }
  }
  if (at != 0) {
    work.release(at);
    report(client, before);
    any = true;
  }
  return any;
}

}  // namespace cpgring::dispatch
