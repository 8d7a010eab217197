#include "runtime/engine_core.hpp"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/check.hpp"
#include "base/limits.hpp"
#include "base/own_thread.hpp"
#include "base/settle_thread.hpp"
#include "dispatch/deliver.hpp"
#include "runtime/crew.hpp"
#include "runtime/endpoint.hpp"

namespace cpgring::runtime {
namespace {

constexpr std::chrono::seconds losses_period{1};

reactor::reactor_options reactor_options_of(const engine_options& o) {
  reactor::reactor_options r;
  r.backend = o.wakeup_backend;
  r.idle_strategy = o.idle_strategy;
  r.expected_sources = (o.handles_expected + o.reactors - 1) / o.reactors;
  r.polling_max = o.polled_handles_max;
  r.quantum_bytes = o.turn_bytes;
  r.log = o.log;
  return r;
}

}  // namespace

void add_to(handle_stats& sum, const handle_stats& one) noexcept {
  sum.messages += one.messages;
  sum.message_bytes += one.message_bytes;
  sum.views += one.views;
  sum.multicasts += one.multicasts;
  sum.multicast_bytes += one.multicast_bytes;
  sum.refused_not_writable += one.refused_not_writable;
  sum.doorbells += one.doorbells;
  sum.pokes += one.pokes;
  sum.fragments += one.fragments;
  sum.aborted += one.aborted;
  sum.shm_bytes += one.shm_bytes;
  sum.leases += one.leases;
  sum.lease_bytes += one.lease_bytes;
  sum.copied_out += one.copied_out;
  sum.copied_out_bytes += one.copied_out_bytes;
  sum.copied_out_now += one.copied_out_now;
  sum.ring_used += one.ring_used;
  sum.ring_used_max = std::max(sum.ring_used_max, one.ring_used_max);
  sum.oldest_age_ns = std::max(sum.oldest_age_ns, one.oldest_age_ns);
  sum.overloads += one.overloads;
}

struct engine_core::alarm final : reactor::timer {
  alarm(engine_core& c, std::function<void()> t) : core(c), task(std::move(t)) {}
  void expired() override {
    core.add_task(0, std::move(task));
    core.alarms_.erase(this);  // destroys this
  }
  engine_core& core;
  std::function<void()> task;
};

/// Sums of lines that were not said are due.
struct engine_core::losses_timer final : reactor::timer {
  explicit losses_timer(engine_core& c) : core(c) {}
  void expired() override {
    core.losses_.sum_up(core.now());
    if (const auto due = core.losses_.due()) {
      core.reactor_->schedule(*this, *due);
    }
  }
  engine_core& core;
};

void team::fail_all(const error& why) {
  {
    const std::lock_guard lock(lock_);
    if (state_) {
      state_ = fail(why);
    }
  }
  for (const auto& member : members_) {
    if (const auto one = member.lock()) {
      one->stop();
    }
  }
}

result<void> team::state() const {
  const std::lock_guard lock(lock_);
  return state_;
}

engine_core::engine_core(engine_options options, std::uint32_t index, const std::shared_ptr<dispatch::worker_pool>& workers,
                         std::shared_ptr<team> all)
    : options_(std::move(options)),
      index_(index),
      cpu_to_spare_(options_.workers + options_.reactors <= std::thread::hardware_concurrency()),
      handshakes_max_(std::max(options_.handshakes_max / options_.reactors, 1U)),
      all_(std::move(all)),
      intake_(options_.intake_bytes),
      crew_(workers ? std::make_unique<crew>(workers, index, [this] { wake(); }) : nullptr),
      tasks_([this](const error& why) { log(log_level::error, fmt::format("a posted task: {}", why.message())); }),
      losses_(options_.log, losses_period),
      losses_due_(std::make_unique<losses_timer>(*this)) {}

engine_core::~engine_core() = default;

std::uintptr_t engine_core::self_tag() noexcept {
  thread_local const char tag = 0;  // its address is this thread's, and no other's as long as the thread lives
  return reinterpret_cast<std::uintptr_t>(&tag);
}

result<void> engine_core::alive() const {
  if (fork_guard_.in_child()) {
    return fail(errc::forked);
  }
  return shut_.load(std::memory_order_relaxed) ? gone() : result<void>();
}

tl::unexpected<error> engine_core::has_stopped() const {
  const auto by_itself = all_->state();
  return by_itself ? fail(errc::stopped) : fail(errc::stopped, "the engine has stopped: " + by_itself.error().message());
}

result<void> engine_core::gone() { return fail(errc::bad_handle, "the engine of this handle is gone"); }

void engine_core::log_limited(log_level level, base::limited_log::cause why, std::string_view text) {
  losses_.say(level, std::move(why), text, now());
  if (const auto due = losses_.due(); due && reactor_) {
    reactor_->schedule(*losses_due_, *due);
  }
}

void engine_core::note_loss(const error& why, bool heard) {
  last_loss_ = why;
  loss_heard_ = loss_heard_ || heard;
}

/// Handles were lost without a word to anybody, none is left, and nobody on this thread can open another one.
bool engine_core::nothing_can_come() {
  return last_loss_ && !loss_heard_ && !options_.log && options_.reactors == 1 && !own_thread_.load(std::memory_order_relaxed) &&
         endpoints_.empty() && parting_.empty() && lingered_.empty() && to_connect_.empty() && tasks_.empty() && alarms_.empty() &&
         telling_.empty() && ending_.empty() && !intake_pending(this);
}

// --- for endpoints ------------------------------------------------------------------------------------------------------------

void engine_core::add_task(std::uint64_t of, std::function<void()> task) {
  tasks_.add(of, std::move(task));
  if (reactor_) {
    reactor_->mark_ready(tasks_);
  }
}

void engine_core::touch(endpoint& which) {
  if (which.linked()) {
    which.mark_ready();
  }
}

void engine_core::flush_staged() {
  for (auto* one : staged_outside_) {
    one->flush_staged();
  }
  staged_outside_.clear();
}

void engine_core::end_batch() {
  if (--batches_ == 0 && !inside_ && alive()) {
    flush_staged();
  }
}

void engine_core::replace(endpoint& old, std::shared_ptr<endpoint> next) {
  (old.lingering() ? parting_ : retired_).push_back(old.shared_from_this());
  {
    const std::lock_guard lock(registry_lock_);
    endpoints_[old.id()] = next;
  }
  const auto deadline = reactor_->now() + next->options().connect_deadline;
  to_connect_.push_back({std::move(next), deadline});
  begin_connects();
}

void engine_core::retire(endpoint& which) {
  auto kept = which.shared_from_this();
  if (const auto known = endpoints_.find(which.id()); known == endpoints_.end() || known->second != kept) {
    std::erase(parting_, kept);
    retired_.push_back(std::move(kept));  // the next of its line has taken its place before
    return;
  }
  which.cut_line();
  {
    const std::lock_guard lock(registry_lock_);
    handle_stats s = which.stats();
    s.leases = s.lease_bytes = s.copied_out_now = s.ring_used = s.oldest_age_ns = 0;  // no longer this engine's
    add_to(retired_totals_, s);
    endpoints_.erase(which.id());
  }
  handles_.set(handles_.get() - 1);
  retired_.push_back(std::move(kept));
}

void engine_core::linger_done(endpoint& which) { lingered_.push_back(which.shared_from_this()); }

void engine_core::clear_retired() {
  while (!lingered_.empty()) {
    auto done = std::exchange(lingered_, {});
    for (auto& one : done) {
      one->linger_over();
    }
  }
  retired_.clear();
  if (!telling_.empty()) {
    std::erase_if(telling_, [](const auto& one) { return one->all_told(); });
  }
}

// --- driving ------------------------------------------------------------------------------------------------------------------

result<void> engine_core::bind() {
  std::uintptr_t nobody = 0;
  const std::uintptr_t me = self_tag();
  if (!driver_.compare_exchange_strong(nobody, me, std::memory_order_relaxed) && nobody != me) {
    return fail(own_thread_.load(std::memory_order_relaxed) ? errc::wrong_state : errc::wrong_thread,
                own_thread_.load(std::memory_order_relaxed) ? "the engine was started and is driven by its own thread"
                                                            : "the engine is driven by the thread that drove it first");
  }
  if (reactor_) {
    return {};
  }
  auto made = reactor::reactor::create(reactor_options_of(options_));
  result<void> ok = made ? result<void>() : fail(made.error());
  if (ok && crew_) {
    ok = crew_->start();
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
  // SYNC reactor_alive: visitors that find it may use it from here on; what was pushed before is found by the first reap.
  wakeable_.store(reactor_.get(), std::memory_order_seq_cst);
  return {};
}

result<void> engine_core::enter() {
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

result<dispatched> engine_core::dispatch(mode how, budget limit, endpoint* only) {
  if (auto ok = enter(); !ok) {
    return fail(ok.error());
  }
  struct inside_guard {
    bool& flag;
    ~inside_guard() { flag = false; }
  } guard{inside_ = true};
  dispatch::mode_policy policy(how, limit, base::clock::now());
  const std::uint64_t pass = policy.only_what_waits() ? ++pass_ : 0;
  const auto keep = only != nullptr ? only->shared_from_this() : nullptr;
  for (;;) {
    if (stop_requested()) {
      if (policy.done().events != 0) {
        break;
      }
      return has_stopped();
    }
    flush_staged();
    reactor_->reap();
    if (auto ok = keep_backend(); !ok) {
      return fail(ok.error());
    }
    bool more = false;
    endpoint* const live = only != nullptr ? &only->live() : nullptr;
    serve(policy, pass, live, more);
    flush_staged();
    clear_retired();
    if (policy.used_up(reactor_->now())) {
      policy.done().more = more;
      break;
    }
    if (policy.content()) {
      policy.done().more = more;
      break;
    }
    if (!policy.sleeps()) {
      if (more && (policy.only_what_waits() || policy.done().events == 0)) {
        continue;  // with no event: whoever waits is paying back what it took beyond its share
      }
      if (crew_ && policy.only_what_waits() && crew_->under_way() != 0) {
        wait_for_workers();
        continue;  // what was behind a fence
      }
      break;
    }
    endpoint* const now_live = only != nullptr ? &only->live() : nullptr;
    if (now_live != nullptr && now_live->ended() && !now_live->lingering() && !now_live->awaits_revival() && policy.done().events == 0) {
      return fail(errc::bad_handle);
    }
    if (!more && nothing_can_come()) {
      return fail(*last_loss_);
    }
    if (!more && !stop_requested()) {
      rest(policy.until().value_or(base::time_point::max()), now_live != nullptr ? now_live->source() : nullptr);
    }
  }
  wait_for_workers();
  if (foreign_loop_) {
    reactor_->prepare_foreign_wait();  // where the backend is refused here, the descriptor is readable and the next call tells
  }
  if (policy.try_again_when_empty() && policy.done().events == 0) {
    return fail(errc::try_again);
  }
  return policy.done();
}

/// Errors: unsupported_kernel, where the backend is refused and no other may take its place.
result<void> engine_core::keep_backend() {
  if (!reactor_->refused()) [[likely]] {
    return {};
  }
  auto ok = reactor_->fall_back();
  backend_.store(reactor_->backend(), std::memory_order_relaxed);
  return ok;
}

void engine_core::take_receipts() {
  if (!crew_) {
    return;
  }
  crew_->take_receipts([](dispatch::receipt& one) { static_cast<pump*>(one.to)->take_receipt(one); },
                       [](endpoint& who) { who.room_again(); });
  std::erase_if(ending_, [](const auto& one) { return one->done_with_workers(); });
}

void engine_core::await_end_of(endpoint& which) {
  if (std::none_of(ending_.begin(), ending_.end(), [&which](const auto& one) { return one.get() == &which; })) {
    ending_.push_back(which.shared_from_this());
  }
}

void engine_core::rest(base::time_point until, const reactor::source* only, bool for_all_receipts) {
  if (!crew_) {
    reactor_->rest(until, only);
    return;
  }
  const bool any = awaiting_ != 0 || !ending_.empty();
  crew_->arm(any ? crew::bell::any_receipt : for_all_receipts ? crew::bell::all_done : crew::bell::none);
  // What is under way for this thread alone will be done soon; but a CPU that a worker wants must not be spent on looking.
  reactor_->rest(until, only, for_all_receipts && cpu_to_spare_);
  crew_->disarm();
}

/// A dispatch call returns when the callbacks that it handed over have run.
void engine_core::wait_for_workers() {
  if (!crew_) {
    return;
  }
  while (crew_->under_way() != 0 && !stop_requested()) {
    reactor_->reap();
    if (!keep_backend()) {
      return;
    }
    flush_staged();
    if (crew_->under_way() != 0) {
      rest(base::time_point::max(), &tasks_, true);
    }
  }
}

void engine_core::serve(dispatch::mode_policy& policy, std::uint64_t pass, endpoint* only, bool& more) {
  if (only != nullptr) {
    while (policy.events_left() != 0 && tasks_.run_one_of(only->id())) {
      policy.count(1, 0);
    }
    if (policy.events_left() == 0 || !only->linked()) {
      return;
    }
  }
  reactor::serve_limits limits;
  limits.events = policy.events_left();
  limits.bytes = policy.bytes_left();
  limits.until = policy.until();
  limits.pass = pass;
  limits.only = only != nullptr ? only->source() : nullptr;
  const reactor::served done = reactor_->serve(limits);
  if (crew_) {
    crew_->wake();
  }
  policy.count(done.events, done.bytes);
  more = done.more;
}

result<int> engine_core::fd() {
  if (auto ok = enter(); !ok) {
    return fail(ok.error());
  }
  foreign_loop_ = true;
  reactor_->reap();
  reactor_->prepare_foreign_wait();
  return reactor_->pollable_fd();
}

result<void> engine_core::start() {
  if (auto ok = alive(); !ok) {
    return ok;
  }
  const std::lock_guard lock(life_);
  if (stop_requested()) {
    return has_stopped();
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

void engine_core::detach_thread() {
  if (const std::unique_lock lock(life_, std::try_to_lock); lock && thread_.joinable()) {
    thread_.detach();
  }
}

void engine_core::own_thread(std::promise<result<void>>& bound) {
  base::settle_thread(options_.reactors == 1 ? "cpgring-reactor" : fmt::format("cpgring-react{}", index_),
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

void engine_core::stop() noexcept {
  no_more();
  if (!fork_guard_.in_child()) {
    wake();
  }
}

result<void> engine_core::after(std::chrono::nanoseconds delay, std::function<void()> task) {
  if (delay.count() < 0) {
    return fail(errc::invalid_param, fmt::format("a delay of {} ns is in the past", delay.count()));
  }
  if (stop_requested()) {
    return has_stopped();
  }
  const auto at = base::later(base::clock::now(), delay);
  return cross([this, at, task = std::move(task)]() mutable {
    auto made = std::make_unique<alarm>(*this, std::move(task));
    reactor_->schedule(*made, at);
    alarm* const key = made.get();
    alarms_.emplace(key, std::move(made));
  });
}

engine_stats engine_core::stats() const noexcept {
  engine_stats s;
  {
    const std::lock_guard lock(registry_lock_);
    s.total = retired_totals_;
    for (const auto& [id, one] : endpoints_) {
      add_to(s.total, one->stats());
    }
  }
  const visit here(*this);
  if (const auto* r = here.reactor()) {
    s.turns = r->counters().turns.get();
    s.wakeups = r->counters().wakeups.get();
    s.sleeps = r->counters().sleeps.get();
    s.enters = r->backend_counters().enters.get();
    s.arms = r->backend_counters().arms.get();
    s.overflows = r->backend_counters().overflows.get();
  }
  s.handles = handles_.get();
  s.crossings = crossings_.get();
  s.backend = backend_.load(std::memory_order_relaxed);
  return s;
}

void engine_core::await_told(endpoint& which) {
  if (!which.all_told()) {
    telling_.push_back(which.shared_from_this());
  }
}

// --- the end ------------------------------------------------------------------------------------------------------------------

void engine_core::end_driving() {
  {
    const std::lock_guard lock(life_);
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  // SYNC reactor_alive: from here on no new visitor pushes anything or finds the reactor.
  shut_.store(true, std::memory_order_seq_cst);
  wakeable_.store(nullptr, std::memory_order_seq_cst);
  // SYNC reactor_alive: a look ahead of these stores could miss a visitor that has not seen them. They are a few instructions and one write
  // from leaving.
  while (visitors_.load(std::memory_order_seq_cst) != 0) {
    std::this_thread::yield();
  }
}

void engine_core::begin_closing(base::time_point deadline) {
  closing_ = std::exchange(parting_, {});
  for (auto& [id, one] : endpoints_) {
    closing_.push_back(one);
  }
  if (crew_) {
    crew_->workers_ended();
    take_receipts();
    for (auto& one : closing_) {
      one->forget_workers();
    }
    for (auto& one : ending_) {
      one->forget_workers();
    }
  }
  take_last_records();
  flush_staged();
  for (auto& one : closing_) {
    one->forget_reactor();
  }
  losses_.finish();
  reactor_.reset();  // its queue lets go of the alarms before they go
  alarms_.clear();
  for (auto& one : closing_) {
    one->begin_blocking_close(deadline);
  }
}

std::size_t engine_core::still_closing() {
  std::erase_if(closing_, [](const auto& one) { return one->blocking_close_done(); });
  return closing_.size();
}

void engine_core::tell_the_last(shutdown_report& report) {
  std::vector<std::shared_ptr<endpoint>> all;
  for (const auto& [id, one] : endpoints_) {
    ++report.handles;
    all.push_back(one);
  }
  for (const auto* more : {&closing_, &telling_, &ending_}) {
    all.insert(all.end(), more->begin(), more->end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  for (const auto& one : all) {
    one->count_unsent(report);
    one->tell_untold();
  }
}

void engine_core::end_closing(shutdown_report& report) {
  tell_the_last(report);
  for (auto& one : std::exchange(closing_, {})) {
    one->drop();
  }
  for (auto& [id, one] : endpoints_) {
    one->drop();
    one->forget_requests();  // users' handles may keep it for long
    one->cut_line();
  }
  for (auto& one : std::exchange(ending_, {})) {
    one->drop();
    one->forget_requests();
  }
  tasks_.clear();
  to_connect_.clear();
  lingered_.clear();
  retired_.clear();
  {
    const std::lock_guard lock(registry_lock_);
    endpoints_.clear();
  }
  telling_.clear();
  crew_.reset();  // errands that nobody runs any more refer to endpoints, and these to this
}

}  // namespace cpgring::runtime
