#include "runtime/handle_core.hpp"

#include <unistd.h>

#include <algorithm>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "runtime/shard.hpp"

namespace cpgring::runtime {
namespace {

constexpr auto final_notice_pause = std::chrono::milliseconds(1);

std::uint32_t pid_of(const handle_options& options) {
  return options.simulation.pid != 0 ? options.simulation.pid : static_cast<std::uint32_t>(::getpid());
}

cpg::send_limits send_limits_of(const handle_options& options) {
  return {options.send_queue_bytes, options.supervision.queue_bytes, options.large_message_max,
          cpg::send_limits::atomic_max_of(options.ring_bytes)};
}

}  // namespace

handle_core::handle_core(std::shared_ptr<shard> on, std::uint64_t id, handle_options options,
                         std::shared_ptr<const callbacks> calls)
    : shard_(std::move(on)),
      id_(id),
      options_(std::move(options)),
      calls_(calls ? std::move(calls) : std::make_shared<const callbacks>()),
      pid_(pid_of(options_)),
      who_{*calls_, options_, counters_, {}},
      supervisor_(options_.supervision, std::random_device{}()),
      queue_(send_limits_of(options_), shard_->multicasts()) {}

handle_core::~handle_core() { shard_->group().remove_rings(ring_room()); }

// --- any thread --------------------------------------------------------------------------------------------

std::string handle_core::group() const {
  const std::lock_guard lock(group_lock_);
  return group_;
}

handle_stats handle_core::stats() const noexcept {
  handle_stats s = counters_.stats();
  const std::lock_guard lock(group_lock_);
  if (lease_pool_) {
    s.leases = lease_pool_->count();
    s.lease_bytes = lease_pool_->bytes();
  }
  return s;
}

bool handle_core::keeps_multicasts() const noexcept {
  if (options_.supervision.queue_bytes == 0 || over()) {
    return false;
  }
  const auto at = state();
  return is_away() || at == handle_state::connecting || at == handle_state::ready ||
         at == handle_state::joining;
}

failure handle_core::away() {
  return fail(errc::service_lost, "the service is away; the handle connects again by itself");
}

void handle_core::request_close() {
  // SYNC intake_full: stored before the shard's flag, so that a thread that sees that flag sees this one too.
  close_requested_.store(true, std::memory_order_release);
  if (shard_->on_driver_thread()) {
    close_if_requested();
  } else if (!shard_->cross([me = shared_from_this()] { me->close_if_requested(); })) {
    shard_->check_all_handles();
  }
}

// --- life --------------------------------------------------------------------------------------------------

void handle_core::open() {
  who_.owner = weak_from_this();
  link::beginning first;
  first.group = options_.group;
  first_link_ = make_link(std::move(first));
}

std::unique_ptr<link> handle_core::make_link(link::beginning with) {
  before_ = stats();
  with.close_deadline = shard_->options().close_deadline;
  with.home_worker = shard_->home_worker(id_);
  with.pid = pid_;
  with.handle_id = id_;
  auto made = std::make_unique<link>(shard_->host(), static_cast<link_owner&>(*this), shard_->shared(),
                                     queue_, who_, std::move(with));
  link_ = made.get();
  const std::lock_guard lock(group_lock_);
  lease_pool_ = made->pump_of().leases().pool();
  return made;
}

bool handle_core::release(const link& which) noexcept {
  if (&which != link_) {
    return true;
  }
  if (!over()) {
    return false;  // until the next link is made, notices go through this one
  }
  link_ = nullptr;
  return true;
}

void handle_core::forget_link(const link& which) noexcept {
  if (&which == link_) {
    link_ = nullptr;
    retry_due_ = false;
    // A handle between two connections is in state lost; it ends closed.
    state_.store(over() ? state() : handle_state::closed, std::memory_order_relaxed);
    over_.store(true, std::memory_order_relaxed);
  }
}

void handle_core::begin_next_link(link::beginning with) {
  link_->hide();
  link_->session().detach_queue();
  const auto deadline = link_->now() + options_.connect_deadline;
  link& last = *link_;
  shard_->queue_link(shared_from_this(), make_link(std::move(with)), deadline);
  shard_->host().sweep_later(last);
}

void handle_core::close_if_requested() {
  // SYNC intake_full: everything that the closing thread did before is visible here.
  if (!close_requested_.exchange(false, std::memory_order_acquire)) {
    return;
  }
  if (is_open()) {
    link_->close();
  } else if (std::exchange(retry_due_, false)) {
    close_between_links();
  }
}

void handle_core::close_between_links() {
  end();
  link_->session().drop_multicasts(error(errc::closed));
  link_->hide();
  state_.store(handle_state::closed, std::memory_order_relaxed);
  link_->notify(cpg::state_changed{handle_state::lost, handle_state::closed, std::nullopt});
  shard_->retire(*this);
}

void handle_core::end() {
  over_.store(true, std::memory_order_relaxed);
  shard_->loop().cancel(*this);
}

link_owner::after_loss handle_core::connection_lost(link& which, const error& why) {
  const bool refused = !which.was_connected();
  const bool again = supervisor_.retries_after(why) && !shard_->stop_requested();
  if (!refused && why == errc::service_lost) {
    shard_->service_gone(options_.service, service_life_, why);
  }
  const bool known = again && !which.announced() && supervisor_.failed_repeatedly();
  const std::string what = fmt::format("{}{}", why.message(), again ? "; it will connect again" : "");
  shard_->log_limited(known     ? log_level::debug
                      : refused ? log_level::warning
                                : log_level::error,
                      {"", fmt::format("losses on '{}': {}", options_.service, what)},
                      fmt::format("handle {} on '{}': {}", id_, options_.service, what));
  if (!again) {
    shard_->record_loss(why, calls_->on_state != nullptr);
    end();
  }
  return {again, again && options_.supervision.queue_bytes != 0};
}

void handle_core::loss_reported(link& /*which*/, bool again) {
  if (!again) {
    shard_->retire(*this);
    return;
  }
  counters_.shm_bytes.set(0);
  retry_due_ = true;
  retry_at_ = supervisor_.lost(link_->now());
  schedule();
}

void handle_core::closing(link& /*which*/, const std::optional<error>& cause) {
  end();
  if (cause) {
    shard_->log_limited(log_level::error, {"", fmt::format("handles were closed: {}", cause->message())},
                        fmt::format("handle {}: {}; it is being closed", id_, cause->message()));
    shard_->record_loss(*cause, calls_->on_state != nullptr);
  }
}

void handle_core::closed(link& which) {
  if (&which == link_) {
    shard_->retire(*this);
  }
}

void handle_core::connected(link& /*which*/) { service_life_ = shard_->service_up(options_.service); }

void handle_core::answered(link& which) { supervisor_.answered(which.now()); }

restoration handle_core::restored(const link& which) {
  return which.announced() ? supervisor_.last_outage() : supervisor_.outage(which.now());
}

/// Makes counters and state of the present link visible to other threads.
CPGRING_HOT void handle_core::changed(link& which) {
  queue_.sweep();
  notify_refused_sender();
  if (which.hidden()) {
    return;
  }
  const auto counts = which.session().counts();
  counters_.multicasts.set(before_.multicasts + counts.multicasts);
  counters_.multicast_bytes.set(before_.multicast_bytes + counts.multicast_bytes);
  counters_.not_writable.set(before_.refused_not_writable + counts.not_writable);
  counters_.doorbells.set(before_.doorbells + counts.doorbells);
  counters_.pokes.set(before_.pokes + counts.pokes);
  const auto& pump = which.pump_of();
  if (pump.uses_leases()) {
    const auto copies = which.copies();
    counters_.copied_out.set(before_.copied_out + copies.messages);
    counters_.copied_out_bytes.set(before_.copied_out_bytes + copies.bytes);
    counters_.copied_out_now.set(copies.bytes_now);
  }
  local_node_.store(which.session().local_node(), std::memory_order_relaxed);
  const auto state = which.session().state();
  if (state_.load(std::memory_order_relaxed) == state) {
    return;
  }
  {
    const std::lock_guard lock(group_lock_);
    group_ = which.session().group();
  }
  state_.store(state, std::memory_order_relaxed);
  if (state == handle_state::joined || (state == handle_state::ready && which.group_to_join().empty())) {
    supervisor_.arrived();
  }
  if (state == handle_state::joined && queue_.has_unwritten()) {
    which.hold_doorbell();
    which.count_send(which.session().write_waiting());
  }
}

// --- between links -----------------------------------------------------------------------------------------

/// Sets the timer for retries and deadlines of multicasts, while there is no live link.
void handle_core::schedule() {
  std::optional<base::time_point> at = queue_.next_deadline();
  if (retry_due_) {
    at = at ? std::min(*at, retry_at_) : retry_at_;
  }
  if (at) {
    shard_->loop().schedule(*this, *at);
  }
}

void handle_core::expired() {
  if (over() || link_->at() == phase::live) {
    return;  // the link handles deadlines
  }
  if (retry_due_ && shard_->stop_requested()) {
    retry_due_ = false;
    return;
  }
  link_->session().expire_multicasts(link_->now());
  link_->notices_added();
  if (retry_due_ && link_->now() >= retry_at_) {
    retry();
  } else {
    schedule();
  }
}

void handle_core::retry() {
  // Callbacks of the last link may still wait. They run before any callback of the next link.
  if (!link_->finished()) {
    shard_->loop().schedule(*this, link_->now() + final_notice_pause);
    return;
  }
  retry_due_ = false;
  link::beginning next;
  next.group = link_->group_to_join();
  next.rejoins = !next.group.empty();
  next.follows_a_loss = supervisor_.was_there();
  begin_next_link(std::move(next));
}

}  // namespace cpgring::runtime
