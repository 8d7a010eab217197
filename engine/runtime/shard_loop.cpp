// The driving of a shard: by which thread, in which rounds, and when it sleeps.
#include <algorithm>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/name_and_pin_thread.hpp"
#include "base/own_thread.hpp"
#include "runtime/shard.hpp"

namespace cpgring::runtime {
namespace {

reactor::reactor_options reactor_options_of(const engine_options& o, base::shard_clock& clock) {
  reactor::reactor_options r;
  r.backend = o.wakeup_backend;
  r.idle_strategy = o.idle_strategy;
  r.idle_cpu_share = o.idle_cpu_share;
  r.expected_sources = (o.handles_expected + o.reactors - 1) / o.reactors;
  r.polling_max = o.polled_handles_max;
  r.quantum_bytes = o.turn_bytes;
  r.log = o.log;
  r.clock = &clock;
  return r;
}

}  // namespace

CPGRING_HOT result<void> shard::bind() {
  std::uintptr_t nobody = 0;
  const std::uintptr_t me = thread_tag();
  if (!driver_.compare_exchange_strong(nobody, me, std::memory_order_relaxed) && nobody != me) {
    return own_thread_.load(std::memory_order_relaxed)
               ? fail(errc::wrong_state, "the engine was started and is driven by its own thread")
               : fail(errc::wrong_thread, "the engine may only be driven by the thread that drove it first");
  }
  if (reactor_) {
    return {};
  }
  auto made = reactor::reactor::create(reactor_options_of(options_, shared_.clock));
  result<void> ok = made ? result<void>() : fail(made.error());
  if (ok && shared_.workers) {
    ok = shared_.workers->start();
  }
  if (ok) {
    (*made)->set_intake({this, &take_intake, &intake_pending});
    ok = (*made)->add(tasks_);
  }
  if (!ok) {
    driver_.store(0, std::memory_order_relaxed);
    return ok;
  }
  reactor_ = std::move(*made);
  backend_.store(reactor_->backend(), std::memory_order_relaxed);
  visited_.show(*reactor_);  // the first reap() finds what was pushed before
  return {};
}

CPGRING_HOT result<void> shard::enter() {
  if (auto ok = alive(); !ok) {
    return ok;
  }
  if (auto ok = bind(); !ok) {
    return ok;
  }
  if (inside_) {
    return fail(errc::wrong_state, "dispatch was called from inside a callback of the same engine");
  }
  return {};
}

CPGRING_HOT result<dispatched> shard::dispatch(mode how, budget limit, handle_core* only) {
  if (auto ok = enter(); !ok) {
    return fail(ok.error());
  }
  struct inside_guard {
    bool& flag;
    ~inside_guard() { flag = false; }
  } guard{inside_ = true};
  dispatch::mode_policy policy(how, limit, shared_.clock.read());
  const auto keep = only != nullptr ? only->shared_from_this() : nullptr;
  if (auto ok = dispatch_rounds(policy, only); !ok) {
    return fail(ok.error());
  }
  wait_for_workers();
  if (foreign_loop_) {
    reactor_->prepare_foreign_wait();  // if refused: the descriptor is readable, and the next call fails
  }
  if (policy.try_again_when_empty() && policy.done().events == 0) {
    return fail(errc::try_again);
  }
  return policy.done();
}

CPGRING_HOT result<void> shard::dispatch_rounds(dispatch::mode_policy& policy, handle_core* only) {
  const std::uint64_t pass = policy.only_what_waits() ? ++pass_ : 0;
  for (;;) {
    if (stop_requested()) {
      return policy.done().events != 0 ? result<void>() : result<void>(stopped_error());
    }
    flush_dirty();
    reactor_->reap();
    if (auto ok = check_backend(); !ok) {
      return ok;
    }
    bool more = false;
    serve(policy, pass, only, more);
    flush_dirty();
    sweep();
    switch (after_round(policy, more)) {
      case next::again: continue;
      case next::done: return {};
      case next::rest: break;
    }
    if (only != nullptr && tasks_.has_any_of(only->id())) {
      continue;  // the last notices of a connection that has ended
    }
    if (only != nullptr && !only->alive() && policy.done().events == 0) {
      return fail(errc::bad_handle);
    }
    if (!more && is_exhausted()) {
      return fail(*last_loss_);
    }
    if (!more && !stop_requested()) {
      rest(policy.until().value_or(base::time_point::max()), source_of(only));
    }
  }
}

/// Decides what a dispatch call does after a round.
CPGRING_HOT shard::next shard::after_round(dispatch::mode_policy& policy, bool more) {
  if (policy.used_up(reactor_->now()) || policy.content()) {
    policy.done().more = more;
    return next::done;
  }
  if (policy.sleeps()) {
    return next::rest;
  }
  if (more && (policy.only_what_waits() || policy.done().events == 0)) {
    return next::again;  // without an event: a source pays back what it took beyond its share
  }
  if (shared_.workers && policy.only_what_waits() && shared_.workers->under_way() != 0) {
    wait_for_workers();
    return next::again;  // for events that waited for an exclusive call
  }
  return next::done;
}

CPGRING_HOT reactor::source* shard::source_of(handle_core* only) noexcept {
  return only != nullptr ? only->present() : nullptr;
}

/// Errors: unsupported_kernel, if the backend is refused and no other may replace it.
CPGRING_HOT result<void> shard::check_backend() {
  if (!reactor_->refused()) [[likely]] {
    return {};
  }
  auto ok = reactor_->fall_back();
  backend_.store(reactor_->backend(), std::memory_order_relaxed);
  return ok;
}

CPGRING_HOT void shard::serve(dispatch::mode_policy& policy, std::uint64_t pass, handle_core* only,
                              bool& more) {
  if (only != nullptr) {
    while (policy.events_left() != 0 && tasks_.run_one_of(only->id())) {
      policy.count(1, 0);
    }
    const link* const present = only->present();
    if (policy.events_left() == 0 || present == nullptr || !has_connection(present->at())) {
      return;
    }
  }
  reactor::serve_limits limits;
  limits.events = policy.events_left();
  limits.bytes = policy.bytes_left();
  limits.until = policy.until();
  limits.pass = pass;
  limits.only = source_of(only);
  const reactor::served done = reactor_->serve(limits);
  if (shared_.workers) {
    shared_.workers->wake();
  }
  policy.count(done.events, done.bytes);
  more = done.more;
}

CPGRING_HOT void shard::rest(base::time_point until, const reactor::source* only, bool for_all_reports) {
  if (!shared_.workers) {
    reactor_->rest(until, only);
    return;
  }
  using wake_on = dispatch::worker_client::wake_on;
  shared_.workers->arm(shared_.reports_awaited != 0 ? wake_on::any_report
                       : for_all_reports            ? wake_on::all_done
                                                    : wake_on::nothing);
  // Workers finish soon what only this thread waits for, so it spins, unless a worker may need its CPU.
  reactor_->rest(until, only, for_all_reports && cpu_to_spare_);
  shared_.workers->disarm();
}

/// A dispatch call returns after the callbacks that it handed over have run.
CPGRING_HOT void shard::wait_for_workers() {
  if (!shared_.workers) {
    return;
  }
  while (shared_.workers->under_way() != 0 && !stop_requested()) {
    reactor_->reap();
    if (!check_backend()) {
      return;
    }
    flush_dirty();
    if (shared_.workers->under_way() != 0) {
      rest(base::time_point::max(), &tasks_, true);
    }
  }
}

/// All handles were lost without a callback or a log line, and no code on this thread can open another one.
bool shard::is_exhausted() {
  return last_loss_ && !loss_reported_ && !options_.log && options_.reactors == 1 &&
         !own_thread_.load(std::memory_order_relaxed) && registry_.empty() && links_.empty() &&
         tasks_.empty() && alarms_.empty() && !intake_pending(this);
}

result<int> shard::fd() {
  if (auto ok = enter(); !ok) {
    return fail(ok.error());
  }
  foreign_loop_ = true;
  reactor_->reap();
  reactor_->prepare_foreign_wait();
  return reactor_->pollable_fd();
}

// --- an own thread -----------------------------------------------------------------------------------------

result<void> shard::start() {
  if (auto ok = alive(); !ok) {
    return ok;
  }
  const std::lock_guard lock(life_);
  if (stop_requested()) {
    return stopped_error();
  }
  if (thread_.joinable()) {
    return fail(errc::wrong_state, "the engine has been started already");
  }
  if (driver_.load(std::memory_order_relaxed) != 0) {
    return fail(errc::wrong_state, "another thread drives the engine already");
  }
  std::promise<result<void>> bound;
  auto outcome = bound.get_future();
  try {
    thread_ = base::start_own_thread([this, &bound] { own_thread(bound); });
  } catch (const std::system_error& e) {
    return fail(base::thread_refused(e.code().value(), "starting the reactor's thread"));
  }
  auto ok = outcome.get();
  if (!ok) {
    thread_.join();
    own_thread_.store(false, std::memory_order_relaxed);
  }
  return ok;
}

void shard::own_thread(std::promise<result<void>>& bound) {
  base::name_and_pin_thread(
      options_.reactors == 1 ? "cpgring-reactor" : fmt::format("cpgring-react{}", index_),
      options_.reactor_cpus.empty() ? -1 : options_.reactor_cpus[index_ % options_.reactor_cpus.size()]);
  own_thread_.store(true, std::memory_order_relaxed);
  auto ok = bind();
  const bool usable = ok.has_value();
  bound.set_value(std::move(ok));
  if (usable) {
    if (auto ended = dispatch(mode::blocking, {}, nullptr); !ended && ended.error() != errc::stopped) {
      log(log_level::error, "the engine stops: " + ended.error().message());
      all_->fail_all(ended.error());
    }
  }
}

void shard::detach_thread() {
  if (const std::unique_lock lock(life_, std::try_to_lock); lock && thread_.joinable()) {
    thread_.detach();
  }
}

void shard::stop() noexcept {
  request_stop();
  if (!fork_guard_.in_child()) {
    wake();
  }
}

}  // namespace cpgring::runtime
