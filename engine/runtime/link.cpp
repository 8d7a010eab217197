#include "runtime/link.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ipc/connection.hpp"

namespace cpgring::runtime {
namespace {

// A service whose backlog of 128 is full refuses a connect; it needs about 0.3 ms for each one.
constexpr auto connect_retry = std::chrono::milliseconds(1);

}  // namespace

link::link(link_host& host, link_owner& owner, delivery::shard_resources& shared, cpg::send_queue& queue,
           const delivery::recipient& who, beginning with)
    : host_(host),
      owner_(owner),
      shared_(shared),
      who_(who),
      session_({with.pid, who.options.large_message_max, who.options.control_deadline}, queue),
      pump_(who, shared, session_, *this),
      inline_lane_(who, shared, pump_.ledger(), pump_.leases()),
      group_to_join_(std::move(with.group)),
      joined_(std::move(with.joined)),
      rejoins_(with.rejoins),
      handle_id_(with.handle_id),
      close_deadline_(with.close_deadline) {
  if (shared_.workers) {
    worker_lane_.emplace(who, shared, pump_.ledger(), pump_.leases(), session_,
                         static_cast<delivery::pump_listener&>(*this), with.home_worker);
  }
  if (with.follows_a_loss) {
    session_.announce_restoration();
  }
}

link::~link() = default;

/// False: `what` changes nothing in the present phase.
bool link::move(link_event what) noexcept {
  return std::exchange(phase_, next_phase(phase_, what)) != phase_;
}

// --- connecting --------------------------------------------------------------------------------------------

void link::begin(base::time_point deadline) {
  begun_ = holds_slot_ = true;
  connect_deadline_ = deadline;
  if (!move(link_event::slot_free)) {
    free_slot();  // closed while it was queued
    host_.sweep_later(*this);
    return;
  }
  if (!group_to_join_.empty() && !join_asked_) {
    owner_.joins(group_to_join_);
    if (auto asked = session_.join(group_to_join_, std::exchange(joined_, {}), now()); !asked) {
      lose(std::move(asked.error()));
      return;
    }
    publish();
  }
  const auto& o = who_.options;
  auto begun = ipc::handshake::begin(o.service, o.ring_bytes, o.prefault, o.service_uid);
  if (!begun) {
    lose(std::move(begun.error()));
    return;
  }
  handshake_.emplace(std::move(*begun));
  host_.loop().schedule(*this, connect_deadline_);
  advance_handshake();
}

void link::advance_handshake() {
  auto step = handshake_->advance();
  if (!step) {
    lose(std::move(step.error()));
    return;
  }
  switch (*step) {
    case ipc::handshake::step::retry_connect:
      host_.loop().schedule(*this, std::min(connect_deadline_, now() + connect_retry));
      return;
    case ipc::handshake::step::wait_readable:
      watching_ = true;
      if (auto ok = host_.loop().watch(*this, handshake_->fd()); !ok) {
        lose(std::move(ok.error()));
      }
      return;
    case ipc::handshake::step::done: break;
  }
  auto connection = handshake_->finish();
  handshake_.reset();
  if (!connection) {
    lose(std::move(connection.error()));
    return;
  }
  connected(std::move(*connection));
}

void link::readable() {
  watching_ = false;
  advance_handshake();
}

void link::connected(ipc::connection connection) {
  auto owned = std::make_unique<ipc::connection>(std::move(connection));
  who_.counters.shm_bytes.set(owned->shm_bytes());
  target({owned->events().semaphore_word(), owned->responses().semaphore_word(), owned->fd(),
          &owned->doorbells_read()});
  set_weight(who_.options.weight);
  session_.attach(std::move(owned), now());
  if (auto ok = host_.loop().add(*this); !ok) {
    lose(std::move(ok.error()));
    return;
  }
  in_reactor_ = true;
  move(link_event::connected);
  owner_.connected(*this);
  if (worker_lane_) {
    pump_.use_leases();
  }
  free_slot();
  count_send(session_.progress(now()));
  after_request();
}

void link::free_slot() {
  if (std::exchange(holds_slot_, false)) {
    host_.handshake_ended();
  }
}

// --- turns and timers --------------------------------------------------------------------------------------

CPGRING_HOT reactor::turn_result link::turn(const reactor::turn_budget& budget) {
  if (phase_ == phase::lingering) {
    linger_turn();
    return {0, 0, alone() && phase_ == phase::lingering && session_.more_to_write()};
  }
  if (session_.busy()) {
    hold_doorbell();  // everything that the turn writes is published with one doorbell
  }
  auto done = worker_lane_ ? pump_.serve(*worker_lane_, budget) : pump_.serve(inline_lane_, budget);
  pause(pump_.blocked());
  host_.flush_dirty();  // rings its own doorbell, and those of handles on which its callbacks multicast
  publish_changes();
  done.more = done.more && open();
  return done;
}

/// After close(): events are discarded, so that the service can take the remaining multicasts.
void link::linger_turn() {
  if (!alone()) {
    return;
  }
  if (!pump_.discard_events() || pump_.has_hung_up() || !session_.progress(now())) {
    stop_lingering();
    return;
  }
  schedule();
}

void link::can_continue(bool turn_wanted) {
  if (open()) {
    if (turn_wanted) {
      pump_.resume();
      mark_ready();
    }
    return;
  }
  if (alone()) {
    if (phase_ == phase::lingering) {
      mark_ready();  // from now on the remaining events are discarded
    }
    if (std::exchange(drop_due_, false)) {
      drop_connection();
    }
    worker_lane_->send_remaining_calls();
  }
  if (lane_idle()) {
    worker_lane_->await_reports(false);
    host_.sweep_later(*this);
  }
}

void link::expired() {
  switch (phase_) {
    case phase::queued:
    case phase::handshaking: expired_while_connecting(); return;
    case phase::live: expired_while_live(); return;
    case phase::lingering: expired_while_lingering(); return;
    case phase::draining:
    case phase::gone: return;
  }
}

void link::expired_while_connecting() {
  if (now() >= connect_deadline_) {
    lose(error(errc::timeout,
               fmt::format("service '{}' did not complete the handshake within {} ms; is it stopped?",
                           who_.options.service, who_.options.connect_deadline.count())));
  } else if (handshake_) {
    host_.loop().schedule(*this, connect_deadline_);
    advance_handshake();
  }
}

void link::expired_while_live() {
  worker_lane_ ? pump_.on_timer(*worker_lane_) : pump_.on_timer(inline_lane_);
  if (!open()) {
    return;
  }
  if (session_.state() == handle_state::connecting && now() >= connect_deadline_) {
    lose(error(errc::timeout,
               fmt::format("service '{}' completed the handshake but answered nothing within {} ms; is it "
                           "stopped or in a long sync phase?",
                           who_.options.service, who_.options.connect_deadline.count())));
    return;
  }
  if (refused_again()) {
    const error& why = *session_.join_refusal();
    lose(error(why.code, fmt::format("rejoining '{}': {}", group_to_join_, why.message())));
    return;
  }
  if (auto ok = session_.tick(now()); !ok) {
    pump_.session_failed(std::move(ok.error()));
  }
  after_request();
}

void link::expired_while_lingering() {
  worker_lane_ ? pump_.on_timer(*worker_lane_) : pump_.on_timer(inline_lane_);
  count_send(session_.tick(now()));
  if (phase_ == phase::lingering && now() >= linger_until_) {
    stop_lingering();
  } else if (phase_ == phase::lingering) {
    schedule();
  }
}

CPGRING_HOT void link::schedule() {
  expects_answers(session_.expects_answers());
  auto at = session_.next_deadline(now());
  const auto at_the_latest = [&at](base::time_point limit) { at = at ? std::min(*at, limit) : limit; };
  if (phase_ == phase::lingering) {
    at_the_latest(linger_until_);
  } else if (session_.state() == handle_state::connecting) {
    at_the_latest(connect_deadline_);
  } else if (refused_again()) {
    at_the_latest(now());
  }
  if (const auto due = pump_.due()) {
    at_the_latest(*due);
  }
  if (at) {
    host_.loop().schedule(*this, *at);
  } else {
    host_.loop().cancel(*this);
  }
}

CPGRING_HOT void link::publish() {
  const auto state = session_.state();
  if (!hidden_ && !announced_ && state != handle_state::connecting && state != handle_state::lost &&
      state != handle_state::closed) {
    announced_ = true;
    owner_.answered(*this);
  }
  owner_.changed(*this);
  if (phase_ == phase::live && !hidden_) {
    schedule();
  }
}

}  // namespace cpgring::runtime
