#include "runtime/fleet.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/fork_guard.hpp"
#include "dispatch/worker_pool.hpp"
#include "runtime/endpoint.hpp"

namespace cpgring::runtime {
namespace {

std::shared_ptr<dispatch::worker_pool> workers_of(const engine_options& o) {
  if (o.workers == 0) {
    return nullptr;
  }
  return std::make_shared<dispatch::worker_pool>(
      dispatch::worker_pool::shape{o.workers, o.reactors, o.worker_queue, o.worker_cpus, o.idle_strategy});
}

void add(engine_stats& sum, const engine_stats& one) noexcept {
  add_to(sum.total, one.total);
  sum.handles += one.handles;
  sum.turns += one.turns;
  sum.wakeups += one.wakeups;
  sum.sleeps += one.sleeps;
  sum.enters += one.enters;
  sum.arms += one.arms;
  sum.overflows += one.overflows;
  sum.crossings += one.crossings;
}

}  // namespace

fleet::fleet(engine_options options) : workers_(workers_of(options)) {
  options.log = base::guarded_log(std::move(options.log), options.log_level, log_failures_);
  for (std::uint32_t i = 0; i < options.reactors; ++i) {
    cores_.push_back(std::make_shared<engine_core>(options, i, workers_, team_));
    team_->add(cores_.back());
  }
}

result<void> drivable_by_hand(const engine_options& options) {
  if (options.reactors > 1) {
    return fail(errc::wrong_state,
                fmt::format("an engine with {} reactors is driven by start() or run(): one thread cannot dispatch for all of them",
                            options.reactors));
  }
  return {};
}

result<std::shared_ptr<endpoint>> fleet::open(handle_options options, callbacks calls) {
  const std::uint64_t id = next_id_.fetch_add(1, std::memory_order_relaxed);
  return cores_[id % cores_.size()]->open(id, std::move(options), std::move(calls));
}

/// What has been started runs on when a later one can't be: so all of it is stopped.
result<void> fleet::start_from(std::size_t which) {
  for (std::size_t i = which; i < cores_.size(); ++i) {
    if (auto ok = cores_[i]->start(); !ok) {
      if (i != which) {
        stop();
      }
      return ok;
    }
  }
  return {};
}

result<void> fleet::start() { return start_from(0); }

result<void> fleet::run() {
  if (auto ok = start_from(1); !ok) {
    return ok.error() == errc::stopped ? result<void>() : ok;
  }
  auto ended = first().dispatch(mode::blocking, {}, nullptr);
  if (!ended && ended.error() != errc::stopped) {
    if (cores_.size() > 1) {
      stop();
    }
    return fail(ended.error());
  }
  return team_->state();
}

result<dispatched> fleet::dispatch(mode how, budget limit) {
  if (auto ok = drivable_by_hand(first().options()); !ok) {
    return fail(ok.error());
  }
  return first().dispatch(how, limit, nullptr);
}

result<int> fleet::fd() {
  if (auto ok = drivable_by_hand(first().options()); !ok) {
    return fail(ok.error());
  }
  return first().fd();
}

void fleet::stop() noexcept {
  // All are told before the first is woken: whoever comes back from run() finds every call refused.
  for (auto& core : cores_) {
    core->no_more();
  }
  for (auto& core : cores_) {
    core->stop();
  }
}

std::shared_ptr<engine_core> fleet::driven_here() const noexcept {
  const auto found = std::find_if(cores_.begin(), cores_.end(), [](const auto& core) { return core->on_driver_thread(); });
  return found == cores_.end() ? nullptr : *found;
}

engine_stats fleet::stats() const noexcept {
  engine_stats sum = first().stats();
  for (std::size_t i = 1; i < cores_.size(); ++i) {
    add(sum, cores_[i]->stats());
  }
  sum.log_failures = log_failures_->load(std::memory_order_relaxed);
  return sum;
}

/// The calling thread is inside a callback of this engine.
bool fleet::inside_a_callback() const noexcept {
  return std::any_of(cores_.begin(), cores_.end(), [](const auto& core) { return core->inside_here(); }) ||
         (workers_ && workers_->runs_here());
}

/// Inside a callback (exit() of the process, most likely) nothing can be waited for: what runs is told to stop, and all is kept for ever.
void fleet::end() {
  const bool in_child = first().in_child();
  if (in_child || inside_a_callback()) {
    if (!in_child) {
      stop();
      for (auto& core : cores_) {
        core->detach_thread();
      }
      if (workers_) {
        workers_->detach_threads();
      }
    }
    for (auto& core : cores_) {
      base::forsake(core);
    }
    base::forsake(workers_);
    return;
  }
  static_cast<void>(shut_down(first().options().close_deadline));
}

shutdown_report fleet::shut_down(std::chrono::milliseconds deadline) {
  shutdown_report report;
  if (!first().in_child() && !std::exchange(closed_, true)) {
    using std::chrono::milliseconds;  // a day at most: more does not fit into a point in time
    close_all(base::clock::now() + std::clamp<milliseconds>(deadline, milliseconds(0), std::chrono::hours(24)), report);
  }
  return report;
}

/// The threads end, and with them the reactors. Then every service is asked to FINALIZE, and all are looked at until they have answered.
void fleet::close_all(base::time_point until, shutdown_report& report) {
  stop();
  for (auto& core : cores_) {
    core->end_driving();
  }
  if (workers_) {
    workers_->stop();
  }
  for (auto& core : cores_) {
    core->begin_closing(until);
  }
  auto pause = std::chrono::microseconds(20);
  std::size_t open = 0;
  for (;;) {
    open = 0;
    for (auto& core : cores_) {
      open += core->still_closing();
    }
    if (open == 0 || base::clock::now() >= until) {
      break;
    }
    std::this_thread::sleep_for(pause);  // answers have no wake-up of their own here
    pause = std::min(pause * 2, std::chrono::microseconds(1000));
  }
  if (open != 0) {
    first().log(
        log_level::warning,
        fmt::format("{} handles were closed before their service had taken everything: it did not answer within the deadline", open));
  }
  report.unanswered = open;
  for (auto& core : cores_) {
    core->end_closing(report);
  }
}

}  // namespace cpgring::runtime
