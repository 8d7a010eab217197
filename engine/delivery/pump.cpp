#include "delivery/pump.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/hot.hpp"
#include "delivery/inline_lane.hpp"
#include "delivery/notice_call.hpp"
#include "delivery/worker_lane.hpp"
#include "ipc/connection.hpp"

namespace cpgring::delivery {

template <lane Lane>
CPGRING_HOT reactor::turn_result pump::serve(Lane& where, const reactor::turn_budget& budget) {
  turn t(budget, who_.self(), *session_.connection());
  begin_turn(where, t);
  while (keep_going() && !t.spent() && step(where, t)) {
  }
  where.flush();
  if (!lost_) {
    end_turn(where, t);
  }
  return {t.events, t.bytes, !stopped_ && more_to_do(where, t)};
}

/// False: nothing more can be done in this turn.
template <lane Lane>
CPGRING_HOT bool pump::step(Lane& where, turn& t) {
  if (!run_notices(where, t) || t.spent() || !where.ready(t)) {
    return false;
  }
  if (fence_) {
    return where.alone() && apply_fence(where, t);
  }
  if (answers_wait(t) && answers_have_priority(t)) {
    take_answers(t, where.answers_at_once(t));
    return true;
  }
  return hand_batch(where, t);  // D5 claim, D6 decode, D7 D8 callbacks, D9 done, reclaim
}

template <lane Lane>
CPGRING_HOT void pump::begin_turn(Lane& where, turn& t) {
  begin_pass(t);
  if constexpr (Lane::on_workers) {
    if (ledger_.open() == 0) {
      watch_.moved(now());
    }
  } else if (watch_.turn_begins(t.ring)) [[unlikely]] {
    check_overload(where);
  }
  if (keep_going() && session_.busy()) {
    if (auto ok = session_.progress(now()); !ok) {
      session_failed(std::move(ok.error()));
    }
  }
}

template <lane Lane>
CPGRING_HOT void pump::end_turn(Lane& where, turn& t) {
  session_.connection()->read_doorbells_if_due();
  reclaim(t.ring);
  uses_leases_ = uses_leases_ || t.leased;
  if (uses_leases_ && leases_.has_work()) [[unlikely]] {
    maintain_leases(where);
  }
  if constexpr (Lane::on_workers) {
    blocked_ = !stopped_ && where.blocked(fence_.has_value());
    stalled_ = blocked_ || (where.messages_out() != 0 && t.ring.leased_bytes() > t.ring.capacity_bytes() / 4);
    if (!stopped_) {
      check_overload(where);
      relieve(where);
    }
  }
  if (lost_) {
    return;
  }
  const bool drained = !stopped_ && poke_if_drained(t.ring);
  if (!Lane::on_workers && t.events != 0) {
    const base::nanoseconds took = shared_.callbacks_ended();
    who_.counters.callback_ns.add(static_cast<std::uint64_t>(took.count()));
    watch_.turn_ended(!drained, took);
  }
  const bool empty = drained && copied_events_.empty() && !fence_ && !where.holds_message() &&
                     session_.notices.empty() && session_.answers.empty();
  if (hung_up_ && empty) {
    listener_.lost(
        error(errc::service_lost, "the service hung up; what it had delivered before has been handed out"));
    return;
  }
  if constexpr (Lane::on_workers) {
    if (!stopped_) {
      // Ring space, or memory, is needed as soon as workers are done with it.
      where.await_reports(stalled_);
      plan_return();
    }
  }
}

template <lane Lane>
CPGRING_HOT bool pump::more_to_do(const Lane& where, const turn& t) {
  return session_.more_to_write() ||
         (!blocked_ &&
          (where.calls_waiting() || fence_ || where.holds_message() || !session_.notices.empty() ||
           answers_wait(t) || (events_wait(t.ring) && pass_goes_on(t))));
}

// --- messages ----------------------------------------------------------------------------------------------

template <lane Lane>
CPGRING_HOT bool pump::hand_batch(Lane& where, turn& t) {
  const bool wanted = who_.calls.on_message && session_.takes_messages();
  const std::uint32_t room = wanted ? where.room() : dispatch::descriptor_batch::capacity;
  if (room == 0) {
    return false;
  }
  const bool more = fill_batch(t, room);
  if (!t.batch.empty()) {
    wanted ? hand_messages(where, t) : skip_messages(where, t);
  }
  if (!keep_going() || lose_if_faulty()) {
    return false;
  }
  if (ledger_.bytes() >= leasing::chunk_ledger::due_bytes(t.ring.capacity_bytes())) {
    t.ring.reclaim(ledger_.take());
  }
  return more;
}

template <lane Lane>
CPGRING_HOT void pump::hand_messages(Lane& where, turn& t) {
  if (!Lane::on_workers && t.confirmed != nullptr) [[unlikely]] {
    session_.report(*std::exchange(t.confirmed, nullptr));  // a notice: runs after the batch
  }
  batch_outcome done = where.messages(t, session_.group(), sequence_, [this] { return keep_going(); });
  if constexpr (!Lane::on_workers) {
    t.events += done.events;
    t.bytes += done.bytes;
    who_.counters.messages.add(done.events);
    who_.counters.message_bytes.add(done.bytes);
  }
  if (t.confirmed != nullptr) [[unlikely]] {
    session_.report(*std::exchange(t.confirmed, nullptr));
  }
  if (done.failure) [[unlikely]] {
    listener_.ended(std::move(*done.failure));
  }
}

/// Skips messages that the handle does not receive: it is in no group, or has no on_message.
template <lane Lane>
void pump::skip_messages(Lane& where, turn& t) {
  sequence_ += t.batch.size();
  for (const dispatch::descriptor& one : t.batch) {
    t.bytes += one.size;
    ledger_.add_bytes(one.ring_bytes);
  }
  if (t.batch_copy != nullptr) {
    if constexpr (Lane::on_workers) {
      where.free_copy(t.batch_copy, t.batch_copy_size);
    }
  } else {
    ledger_.done(t.batch_claim, t.batch.size());
  }
  if (t.confirmed != nullptr) {
    session_.report(*std::exchange(t.confirmed, nullptr));
  }
}

/// Takes messages up to the first event of another kind. False: there is nothing more to take.
CPGRING_HOT bool pump::fill_batch(turn& t, std::uint32_t room) {
  t.batch.clear();
  t.batch_copy = nullptr;
  t.confirmed = nullptr;
  room = std::min({room, dispatch::descriptor_batch::capacity, t.events_left()});
  if (t.budget.pass != 0) {
    room = std::min(room, pass_left_);
  }
  bool may_be_more = true;
  if (!uses_leases_ || copied_events_.empty()) [[likely]] {
    may_be_more = fill_from_ring(t, room);
  } else if (room != 0) {
    fill_from_spill(t);
  }
  return fence_ || t.confirmed != nullptr || (may_be_more && pass_goes_on(t));
}

/// Takes messages off the ring. False: the ring is empty.
CPGRING_HOT bool pump::fill_from_ring(turn& t, std::uint32_t room) {
  ipc::frame frame;
  std::uint64_t bytes = t.bytes;
  t.batch_claim = ledger_.claim(0);
  bool empty = false;
  while (t.batch.size() < room && bytes < t.budget.bytes) {
    if (t.ring.ready() == 0 && t.ring.collect() == 0) {
      empty = true;
      break;
    }
    if (t.ring.next(frame) != ipc::read_result::frame) [[unlikely]] {
      fault_ = t.ring.fault();
      break;
    }
    count_taken(t);
    if (cpg::decode(frame.data, frame.size, session_.group(), t.decoded) != cpg::event_kind::deliver)
        [[unlikely]] {
      fence_ = claimed_event{frame, t.batch_claim + t.batch.size(), nullptr};
      break;
    }
    bytes += t.decoded.message.size;
    push_message(t, frame.size);
    if (t.confirmed != nullptr || fault_) [[unlikely]] {
      break;
    }
  }
  ledger_.claim(t.batch.size() + (fence_ ? 1U : 0U));
  return !empty;
}

/// Takes one event that was copied out of the ring, or put back.
void pump::fill_from_spill(turn& t) {
  const claimed_event one = copied_events_.front();
  copied_events_.pop_front();
  count_taken(t);
  if (cpg::decode(one.frame.data, one.frame.size, session_.group(), t.decoded) != cpg::event_kind::deliver) {
    fence_ = one;
    return;
  }
  t.batch_claim = one.claim;
  t.batch_copy = one.copy;
  t.batch_copy_size =
      one.copy == nullptr ? 0 : static_cast<std::uint32_t>(leasing::copy_capacity(one.frame.size));
  push_message(t, one.copy == nullptr ? one.frame.size : 0);
}

CPGRING_HOT inline void pump::push_message(turn& t, std::uint32_t ring_bytes) {
  const cpg::deliver& m = t.decoded.message;
  t.batch.push({m.data, m.size, m.node, m.pid, ring_bytes});
  if (session_.is_own(m.node, m.pid)) {
    t.confirmed = confirm_own(m.size, sequence_ + t.batch.size());
  }
}

CPGRING_HOT bool pump::lose_if_faulty() {
  if (!fault_) [[likely]] {
    return false;
  }
  listener_.lost(*std::exchange(fault_, std::nullopt));
  return true;
}

/// An own message has come back: confirms its entry, if it has one. If the service has changed its size, the
/// connection is lost.
CPGRING_HOT cpg::queued_multicast* pump::confirm_own(std::size_t bytes, std::uint64_t sequence) {
  auto waits = session_.own_delivered(bytes);
  if (!waits) [[unlikely]] {
    fault_ = std::move(waits.error());
    return nullptr;
  }
  if (*waits != nullptr) {
    cpg::session::confirm(**waits, sequence);
  }
  return *waits;
}

CPGRING_HOT void pump::begin_pass(const turn& t) noexcept {
  if (t.budget.pass != 0 && t.budget.pass != pass_) {
    pass_ = t.budget.pass;
    pass_left_ = t.ring.ready() + t.ring.waiting() + static_cast<std::uint32_t>(copied_events_.size());
    answers_left_known_ = false;
  }
}

// --- notices and answers -----------------------------------------------------------------------------------

/// False: the turn's budget is used up, or the handle has ended.
template <lane Lane>
CPGRING_HOT bool pump::run_notices(Lane& where, turn& t) {
  auto& notices = session_.notices;
  while (!notices.empty() && (Lane::on_workers || t.events_left() != 0)) {
    cpg::notice one = std::move(notices.front());
    notices.pop_front();
    if (!has_callback(who_.calls, one)) {
      continue;
    }
    auto* const done = std::get_if<cpg::completed>(&one);
    if (!Lane::on_workers && (done != nullptr || std::holds_alternative<cpg::state_changed>(one))) {
      listener_.publish();  // the callback sees the new state, on any thread
    }
    if (done != nullptr) {
      run(where, t, std::move(done->run), true);
    } else {
      const bool back = std::holds_alternative<cpg::restored>(one);
      run(where, t,
          notice_call{&who_.calls, t.self, std::move(one), back ? listener_.restored() : restoration()});
    }
    if (!keep_going()) {
      return false;
    }
  }
  return notices.empty();
}

CPGRING_HOT bool pump::answers_wait(const turn& t) const noexcept {
  return !session_.answers.empty() && (t.budget.pass == 0 || !answers_left_known_ || answers_left_ != 0);
}

/// True: answers go before messages. Alternates while both wait.
bool pump::answers_have_priority(const turn& t) {
  answers_had_priority_ = !(answers_had_priority_ && events_wait(t.ring) && pass_goes_on(t));
  return answers_had_priority_;
}

void pump::take_answers(turn& t, std::size_t most) {
  if (t.budget.pass != 0) {
    if (!std::exchange(answers_left_known_, true)) {
      answers_left_ = session_.answers.size();
    }
    most = std::min(most, answers_left_);
    answers_left_ -= most;
  }
  session_.answers_to_notices(most);
}

template reactor::turn_result pump::serve(inline_lane&, const reactor::turn_budget&);
template reactor::turn_result pump::serve(worker_lane&, const reactor::turn_budget&);

}  // namespace cpgring::delivery
