// What users ask of a handle, on the reactor's thread: joins, leaves, multicasts in all their forms.
#include <string>
#include <utility>

#include <fmt/format.h>

#include "runtime/endpoint.hpp"
#include "runtime/engine_core.hpp"

namespace cpgring::runtime {

result<void> endpoint::join(std::string_view group, handle::completion done) {
  look_at_name(group);
  if (supervised() && !ended_ && session_.state() == handle_state::left) {
    follow(std::string(group), std::move(done));  // a stock service never lets this connection join again
    return {};
  }
  auto asked = request([&](cpg::session& s, base::time_point at) { return s.join(group, std::move(done), at); });
  if (asked) {
    group_to_join_ = group;
    join_asked_ = true;
  }
  return asked;
}

result<void> endpoint::leave(handle::completion done) {
  auto asked = request([&](cpg::session& s, base::time_point at) { return s.leave(std::move(done), at); });
  if (asked) {
    group_to_join_.clear();
  }
  return asked;
}

result<void> endpoint::multicast(pieces payload, std::size_t bytes) {
  if (face_->keeps_multicasts()) [[unlikely]] {
    return keep_for_later(payload, bytes);
  }
  if (ended_) {
    return why_not();
  }
  if (core_->batching()) {
    hold_doorbell();
  }
  auto outcome = session_.multicast(payload, bytes);
  if (!outcome || session_.busy()) {
    settle_changes();
  }
  return outcome;
}

void endpoint::multicast_crossed(std::span<const std::byte> payload) {
  const std::size_t bytes = payload.size();
  if (face_->keeps_multicasts()) [[unlikely]] {
    keep_crossed(payload);
    return;
  }
  if (ended_) {
    unadmit(bytes);
    return;
  }
  // The sender was told "accepted" while the handle was joined; when it has left or closed since, nobody is there to deliver to.
  hold_doorbell();
  count_result(session_.multicast_or_queue(payload, [this, bytes] { written(bytes); }));
}

result<void> endpoint::multicast_confirmed(pieces payload, std::size_t bytes, base::time_point deadline, handle::confirmation done) {
  if (face_->keeps_multicasts()) [[unlikely]] {
    keep_confirmed(payload, bytes, deadline, std::move(done));
    return {};
  }
  if (ended_) {
    return why_not();
  }
  if (core_->batching()) {
    hold_doorbell();
  }
  auto outcome = session_.multicast_awaited(payload, bytes, deadline, std::move(done));
  settle_changes();
  return outcome;
}

result<void> endpoint::multicast_confirmed_crossed(std::span<const std::byte> payload, base::time_point deadline,
                                                   const handle::confirmation& done) {
  const std::span<const std::byte> one[] = {payload};
  if (face_->keeps_multicasts()) [[unlikely]] {
    keep_confirmed(one, payload.size(), deadline, done);
    return {};
  }
  hold_doorbell();
  auto asked = ended_ ? result<void>(why_not()) : session_.multicast_awaited(one, payload.size(), deadline, done);
  if (!asked) {
    unadmit(payload.size() + confirmation_overhead);
  }
  return asked;
}

/// What is written from here on waits for the end of the turn, of the batch, or of the intake's batch.
void endpoint::hold_doorbell() {
  if (!staged_outside_ && !session_.corked()) {
    staged_outside_ = true;
    session_.cork();
    core_->staged_outside(*this);
  }
}

void endpoint::flush_staged() {
  staged_outside_ = false;
  count_result(session_.uncork());  // of an ended one too: its FINALIZE is to leave
  if (ended_) {
    return;
  }
  publish();
  if (!session_.notices.empty() || !session_.answers.empty()) {
    mark_ready();
  }
}

void endpoint::written(std::size_t bytes) {
  unadmit(bytes);
  if (face_->queued_bytes_.load(std::memory_order_relaxed) <= options_.send_queue_bytes / 2) {
    say_writable_if_blocked();
  }
}

void endpoint::say_writable_if_blocked() {
  auto& blocked = face_->blocked_sender_;
  if (ended_ || !blocked.load(std::memory_order_relaxed) || !blocked.exchange(false, std::memory_order_relaxed)) {
    return;
  }
  cpg::notice n;
  n.what = cpg::notice::kind::writable;
  session_.notices.push_back(std::move(n));
  mark_ready();
}

void endpoint::mark_ready() {
  if (linked_) {
    core_->reactor().mark_ready(pump_);
  }
}

result<std::span<std::byte>> endpoint::reserve(std::size_t bytes) {
  if (ended_) {
    return why_not();
  }
  auto room = session_.reserve(bytes);
  if (!room) {
    settle_changes();
  }
  return room;
}

result<void> endpoint::commit(std::size_t bytes) {
  if (auto ok = core_->alive(); !ok) {
    return ok;
  }
  if (ended_) {
    return fail(errc::bad_handle, "the handle was closed or lost after the reservation");
  }
  if (core_->batching()) {
    hold_doorbell();
  }
  return session_.commit(bytes);
}

void endpoint::abandon() noexcept {
  if (!ended_ && core_->alive()) {
    session_.abandon();
  }
}

/// After a request: what it left to do is done by a turn or by the timer.
void endpoint::settle_changes() {
  if (ended_) {
    return;
  }
  publish();
  if (linked_) {
    core_->touch(*this);
  } else {
    hand_over_notices();
  }
}

}  // namespace cpgring::runtime
