#include "runtime/shard.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/check.hpp"

namespace cpgring::runtime {
namespace {

constexpr std::chrono::seconds losses_period{1};

}  // namespace

/// Writes the sums of suppressed log lines when they are due.
struct shard::loss_log_timer final : reactor::timer {
  explicit loss_log_timer(shard& s) : of(s) {}
  void expired() override {
    of.loss_log_.write_due_sums(of.shared_.clock.now());
    if (const auto due = of.loss_log_.due()) {
      of.reactor_->schedule(*this, *due);
    }
  }
  shard& of;
};

shard::shard(engine_options options, std::uint32_t index,
             const std::shared_ptr<dispatch::worker_pool>& workers, std::shared_ptr<shard_group> all,
             base::shard_clock::source time)
    : options_(std::move(options)),
      index_(index),
      cpu_to_spare_(options_.workers + options_.reactors <= std::thread::hardware_concurrency()),
      handshakes_max_(std::max(options_.handshakes_max / options_.reactors, 1U)),
      all_(std::move(all)),
      shared_(options_.log, time),
      intake_(options_.intake_bytes),
      tasks_([this](const error& why) {
        log(log_level::error, fmt::format("a posted task: {}", why.message()));
      }),
      alarms_([this](function<void()> task) { add_task(0, std::move(task)); }),
      loss_log_(options_.log, losses_period),
      loss_log_timer_(std::make_unique<loss_log_timer>(*this)) {
  if (workers) {
    shared_.workers = std::make_unique<dispatch::worker_client>(workers, index, [this] { wake(); });
  }
}

shard::~shard() = default;

CPGRING_HOT std::uintptr_t shard::thread_tag() noexcept {
  thread_local const char tag = 0;  // its address identifies the thread as long as the thread lives
  return reinterpret_cast<std::uintptr_t>(&tag);
}

CPGRING_HOT result<void> shard::alive() const {
  if (fork_guard_.in_child()) {
    return fail(errc::forked);
  }
  return visited_.closed() ? fail(errc::bad_handle, "the engine of this handle has ended") : result<void>();
}

failure shard::stopped_error() const {
  const auto by_itself = all_->state();
  return by_itself ? fail(errc::stopped)
                   : fail(errc::stopped, "the engine has stopped: " + by_itself.error().message());
}

std::uint32_t shard::home_worker(std::uint64_t handle_id) const noexcept {
  // Handles are dealt out to the shards in turn: the division gives each shard consecutive numbers.
  return shared_.workers
             ? static_cast<std::uint32_t>(handle_id / options_.reactors % shared_.workers->workers())
             : 0;
}

void shard::log_limited(log_level level, base::limited_log::cause why, std::string_view text) {
  loss_log_.say(level, std::move(why), text, shared_.clock.now());
  if (const auto due = loss_log_.due(); due && reactor_) {
    reactor_->schedule(*loss_log_timer_, *due);
  }
}

void shard::record_loss(const error& why, bool heard) {
  last_loss_ = why;
  loss_reported_ = loss_reported_ || heard;
}

std::uint64_t shard::service_up(const std::string& name) {
  if (!options_.on_service) {
    return 0;
  }
  const auto now = all_->service_up(name);
  if (now.news) {
    add_task(0, [this, name] { options_.on_service({name, true, std::nullopt}); });
  }
  return now.life;
}

void shard::service_gone(const std::string& name, std::uint64_t life, const error& why) {
  if (options_.on_service && all_->service_gone(name, life)) {
    add_task(0, [this, name, why] { options_.on_service({name, false, why}); });
  }
}

void shard::add_task(std::uint64_t of, function<void()> task) {
  tasks_.add(of, std::move(task));
  if (reactor_) {
    reactor_->mark_ready(tasks_);
  }
}

// --- links -------------------------------------------------------------------------------------------------

void shard::add_task(link& of, function<void()> task) { add_task(of.handle_id(), std::move(task)); }

void shard::keep(std::shared_ptr<handle_core> of, std::unique_ptr<link> which) {
  const link* const key = which.get();
  links_.emplace(key, owned_link{std::move(of), std::move(which)});
}

void shard::queue_link(std::shared_ptr<handle_core> of, std::unique_ptr<link> which,
                       base::time_point deadline) {
  queued_.push_back({which.get(), deadline});
  keep(std::move(of), std::move(which));
  begin_handshakes();
}

void shard::begin_handshakes() {
  if (std::exchange(beginning_handshakes_, true)) {
    return;  // a handshake failed at once: the loop below begins the next one
  }
  while (!queued_.empty() && handshakes_ < handshakes_max_ && !stop_requested()) {
    const queued_link one = queued_.front();
    queued_.pop_front();
    ++handshakes_;
    one.which->begin(one.deadline);
  }
  beginning_handshakes_ = false;
}

void shard::handshake_ended() {
  CPGRING_CHECK(handshakes_ > 0);
  --handshakes_;
  begin_handshakes();
}

CPGRING_HOT void shard::flush_dirty() {
  for (std::size_t i = 0; i < dirty_.size(); ++i) {
    dirty_[i]->ring_doorbell();
  }
  dirty_.clear();
}

void shard::end_batch() {
  if (--batches_ == 0 && !inside_ && alive()) {
    flush_dirty();
  }
}

void shard::sweep_later(link& which) {
  if (which.mark_for_sweep()) {
    ended_.push_back(&which);
  }
}

/// Frees links that are gone. Called while nothing else of this shard runs.
CPGRING_HOT void shard::sweep() {
  std::vector<owned_link> gone;  // destroyed after the loop, and with it what callbacks have captured
  while (!ended_.empty()) {
    link& one = *ended_.back();
    ended_.pop_back();
    one.sweep();
    if (one.at() != phase::gone || !one.begun()) {
      continue;
    }
    if (const auto known = links_.find(&one); known != links_.end()) {
      gone.push_back(std::move(known->second));
      links_.erase(known);
    }
  }
}

void shard::retire(handle_core& which) {
  const auto known = registry_.find(which.id());
  if (known == registry_.end()) {
    return;  // the handle ended before the shard took it
  }
  const auto kept = known->second;
  const std::lock_guard lock(registry_lock_);
  handle_stats s = which.stats();
  s.leases = s.lease_bytes = s.copied_out_now = s.ring_used = s.oldest_age_ns = 0;  // no longer its own
  delivery::add_to(retired_totals_, s);
  registry_.erase(known);
  handles_.set(handles_.get() - 1);
}

void shard::add_handles(std::vector<std::shared_ptr<handle_core>>& all) const {
  const std::lock_guard lock(registry_lock_);
  for (const auto& [id, one] : registry_) {
    all.push_back(one);
  }
}

engine_stats shard::stats() const noexcept {
  engine_stats s;
  {
    const std::lock_guard lock(registry_lock_);
    s.total = retired_totals_;
    for (const auto& [id, one] : registry_) {
      delivery::add_to(s.total, one->stats());
    }
  }
  const visit here(visited_);
  if (const auto* r = here.get()) {
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

// --- scheduled tasks ---------------------------------------------------------------------------------------

result<scheduled_task> shard::schedule(base::time_point when, base::nanoseconds interval,
                                       function<void()> task) {
  if (auto ok = alive(); !ok) {
    return fail(std::move(ok.error()));
  }
  if (stop_requested()) {
    return stopped_error();
  }
  auto state = std::make_shared<delivery::alarm_state>();
  state->task = std::move(task);
  auto crossed = cross([this, when, interval, coming = delivery::unscheduled(state)]() mutable {
    if (!coming.cancelled()) {
      alarms_.add(*reactor_, coming.take(), when, interval);
    }
  });
  if (!crossed) {
    return fail(std::move(crossed.error()));
  }
  return scheduled_task(weak_from_this(), std::move(state));
}

void shard::cancel(const std::shared_ptr<delivery::alarm_state>& which) noexcept {
  which->cancelled.store(true, std::memory_order_relaxed);
  if (!alive()) {
    return;
  }
  if (on_driver_thread() && reactor_) {
    alarms_.remove(which);
  } else {
    static_cast<void>(cross([this, which] { alarms_.remove(which); }));  // full: removed when it expires
  }
}

}  // namespace cpgring::runtime
