#include "api/engine_impl.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/fork_guard.hpp"
#include "base/hot.hpp"
#include "dispatch/worker_pool.hpp"
#include "runtime/shutdown.hpp"

namespace cpgring::runtime {
namespace {

std::shared_ptr<dispatch::worker_pool> workers_of(const engine_options& o) {
  if (o.workers == 0) {
    return nullptr;
  }
  return std::make_shared<dispatch::worker_pool>(dispatch::worker_pool::shape{
      o.workers, o.reactors, o.worker_queue, o.worker_cpus, o.idle_strategy, o.idle_cpu_share});
}

void add(engine_stats& sum, const engine_stats& one) noexcept {
  delivery::add_to(sum.total, one.total);
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

engine_impl::engine_impl(engine_options options) : workers_(workers_of(options)) {
  options.log = base::guarded_log(std::move(options.log), options.log_level, log_failures_);
  for (std::uint32_t i = 0; i < options.reactors; ++i) {
    shards_.push_back(std::make_shared<shard>(options, i, workers_, group_));
    group_->add([one = std::weak_ptr(shards_.back())] {
      if (const auto alive = one.lock()) {
        alive->stop();
      }
    });
  }
}

CPGRING_HOT result<void> check_single_shard(const engine_options& options) {
  if (options.reactors > 1) {
    return fail(errc::wrong_state, fmt::format("an engine with {} reactors is driven by start() or run(): "
                                               "one thread cannot dispatch for all of them",
                                               options.reactors));
  }
  return {};
}

result<std::shared_ptr<handle_core>> engine_impl::open(handle_options options,
                                                       std::shared_ptr<const callbacks> calls) {
  const std::uint64_t id = next_id_.fetch_add(1, std::memory_order_relaxed);
  return shards_[id % shards_.size()]->open(id, std::move(options), std::move(calls));
}

/// If a shard can't be started, those that this call has started are stopped.
result<void> engine_impl::start_from(std::size_t which) {
  for (std::size_t i = which; i < shards_.size(); ++i) {
    if (auto ok = shards_[i]->start(); !ok) {
      if (i != which) {
        stop();
      }
      return ok;
    }
  }
  return {};
}

result<void> engine_impl::start() { return start_from(0); }

result<void> engine_impl::run() {
  if (stop_requested()) {
    return first().stopped_error();
  }
  if (auto ok = start_from(1); !ok) {
    return ok.error() == errc::stopped ? result<void>() : ok;
  }
  auto ended = first().dispatch(mode::blocking, {}, nullptr);
  if (!ended && ended.error() != errc::stopped) {
    if (shards_.size() > 1) {
      stop();
    }
    return fail(ended.error());
  }
  return group_->state();
}

CPGRING_HOT result<dispatched> engine_impl::dispatch(mode how, budget limit) {
  if (auto ok = check_single_shard(first().options()); !ok) {
    return fail(ok.error());
  }
  return first().dispatch(how, limit, nullptr);
}

result<int> engine_impl::fd() {
  if (auto ok = check_single_shard(first().options()); !ok) {
    return fail(ok.error());
  }
  return first().fd();
}

void engine_impl::stop() noexcept {
  // All shards are stopped before one is woken: a thread that returns from run() finds every call refused.
  for (auto& one : shards_) {
    one->request_stop();
  }
  for (auto& one : shards_) {
    one->stop();
  }
}

std::shared_ptr<shard> engine_impl::shard_of_this_thread() const noexcept {
  const auto found =
      std::find_if(shards_.begin(), shards_.end(), [](const auto& one) { return one->on_driver_thread(); });
  return found == shards_.end() ? nullptr : *found;
}

std::vector<std::shared_ptr<handle_core>> engine_impl::handles() const {
  std::vector<std::shared_ptr<handle_core>> all;
  for (const auto& one : shards_) {
    one->add_handles(all);
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->id() < b->id(); });
  return all;
}

engine_stats engine_impl::stats() const noexcept {
  engine_stats sum = first().stats();
  for (std::size_t i = 1; i < shards_.size(); ++i) {
    add(sum, shards_[i]->stats());
  }
  sum.log_failures = log_failures_->load(std::memory_order_relaxed);
  return sum;
}

/// The calling thread is inside a callback of this engine.
bool engine_impl::inside_a_callback() const noexcept {
  return std::any_of(shards_.begin(), shards_.end(), [](const auto& one) { return one->inside_here(); }) ||
         (workers_ && workers_->runs_here());
}

/// Inside a callback (most likely exit() of the process) nothing can be waited for: threads are told to stop,
/// and all objects are kept for ever. A child process only keeps the objects.
void engine_impl::end() {
  const bool in_child = first().in_child();
  if (in_child || inside_a_callback()) {
    if (!in_child) {
      stop();
      for (auto& one : shards_) {
        one->detach_thread();
      }
      if (workers_) {
        workers_->detach_threads();
      }
    }
    for (auto& one : shards_) {
      base::forsake(one);
    }
    base::forsake(workers_);
    return;
  }
  static_cast<void>(shut_down(first().options().close_deadline));
}

shutdown_report engine_impl::shut_down(std::chrono::milliseconds deadline) {
  shutdown_report report;
  if (!first().in_child() && !std::exchange(closed_, true)) {
    using std::chrono::milliseconds;  // at most a day: a later point in time could overflow
    const auto limit = std::clamp<milliseconds>(deadline, milliseconds(0), std::chrono::hours(24));
    report = shutdown(shards_).run(workers_.get(), first().shared().clock.read() + limit);
  }
  return report;
}

}  // namespace cpgring::runtime
