// One turn of one handle whose callbacks run on workers: leases are handed over, views and notices wait until all before them is done.
//
// Compare pump.cpp, which does the same where callbacks run in the turn itself. Invariants: I1 a view, a change of state or any other
// notice is an errand, and an errand runs only while nothing else of the handle is with a worker; nothing behind it is handed over before
// it is done. I2 chunks go back to the ring oldest first, whatever order they are done in. I3 the rings stay mapped until the handle is
// alone.
#include <algorithm>
#include <exception>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "cpg/session.hpp"
#include "dispatch/deliver.hpp"
#include "dispatch/router.hpp"
#include "runtime/crew.hpp"
#include "runtime/endpoint.hpp"
#include "runtime/engine_core.hpp"
#include "runtime/turn_state.hpp"

namespace cpgring::runtime {

namespace {

// Handed over at a time before the workers are told: enough to make a wake-up cheap, few enough to let them begin.
constexpr std::uint32_t publish_every = 32;
// In one errand: its way to the worker and back is what costs.
constexpr std::uint32_t completions_together = 32;

}  // namespace

reactor::turn_result pump::turn_on_workers(const reactor::turn_budget& budget) {
  if (owner_.lingering()) {
    if (alone()) {
      discard();
    }
    return {0, 0, alone() && owner_.lingering() && owner_.session().more_to_write()};
  }
  turn_state t(budget, owner_.self(), *owner_.session().connection());
  if (window_.open() == 0) {
    moved_ = owner_.now();
  }
  begin_pass(budget.pass);
  auto& session = owner_.session();
  session.cork();
  if (session.busy()) {
    if (auto ok = session.progress(owner_.now()); !ok) {
      owner_.lose(ok.error());
    }
  }
  if (!owner_.ended()) {
    collect_notices();
    while (!t.spent() && owner_.goes_on() && step_on_workers(t)) {
    }
  }
  owner_.core().workers()->publish();
  if (owner_.ended() && !owner_.lingering()) {
    return {t.events, t.bytes, false};
  }
  finish_on_workers(t);
  owner_.core().flush_staged();
  if (owner_.ended()) {
    return {t.events, t.bytes, false};
  }
  const bool pass_goes_on = budget.pass == 0 || pass_left_ != 0;
  const bool more = session.more_to_write() || (!paused_ && (!errands_.empty() || fence_ || held_ || !session.notices.empty() ||
                                                             answers_wait(budget) || (events_wait(t.ring) && pass_goes_on)));
  return {t.events, t.bytes, more};
}

/// False: nothing more can be done now.
bool pump::step_on_workers(turn_state& t) {
  if (errand_running_) {
    return false;
  }
  if (!errands_.empty()) {
    if (!alone() || !owner_.core().workers()->has_room_for_errand(owner_.home_worker())) {
      return false;
    }
    t.events += send_errand(t.budget.events - t.events);
    return false;
  }
  if (fence_) {
    if (!alone()) {
      return false;
    }
    pass_fence(t);
    return !owner_.ended();
  }
  if (answers_wait(t.budget) && !held_ && answers_due(t)) {
    take_answers(t, completions_together);
    collect_notices();
    return true;
  }
  return hand_messages(t);
}

/// True: a fence has come up.
bool pump::hand_messages(turn_state& t) {
  auto& crew = *owner_.core().workers();
  auto& session = owner_.session();
  const bool wanted = owner_.calls().on_message && session.takes_messages();
  const bool one_worker = owner_.options().order == ordering::by_handle;
  const std::uint32_t home = owner_.home_worker();
  while (!t.spent()) {
    if (held_) {
      if (!crew.has_room(held_->worker)) {
        return false;
      }
      const held one = *std::exchange(held_, std::nullopt);
      static_cast<void>(hand(t, one.worker, one.item));
      continue;
    }
    if (owner_.lose_if_due()) [[unlikely]] {
      return false;
    }
    if ((t.budget.pass != 0 && pass_left_ == 0) || (one_worker && wanted && !crew.has_room(home))) {
      return false;
    }
    taken one;
    if (!take_event(t.ring, one)) {
      return false;
    }
    ++t.taken;
    if (t.budget.pass != 0) {
      --pass_left_;
    }
    if (cpg::decode(one.frame.data, one.frame.size, session.group(), t.decoded) != cpg::event_kind::deliver) [[unlikely]] {
      fence_ = one;
      return true;
    }
    const cpg::deliver& d = t.decoded.message;
    ++sequence_;
    cpg::awaited* const waits = session.is_own(d.node, d.pid) ? own_message_back(d.size, sequence_) : nullptr;
    if (!wanted) {
      done_with(one);
      t.bytes += d.size;
      if (waits != nullptr) {
        session.tell(*waits);
        collect_notices();
        return true;
      }
      continue;
    }
    dispatch::work_item item{this, d.data, {one.lease}, sequence_, d.size, d.node, d.pid};
    item.waits = waits;
    if (one.copy != nullptr) [[unlikely]] {
      item.copy = one.copy;
      item.copy_size = static_cast<std::uint32_t>(dispatch::copy_capacity(one.frame.size));
    }
    const std::uint32_t worker = one_worker ? home : worker_for(item);
    if (owner_.ended() || !hand(t, worker, item)) {
      return false;
    }
  }
  return false;
}

/// The oldest event that was not yet taken; false: there is none, or the handle was lost over it.
bool pump::take_event(ipc::ring_reader& ring, taken& one) {
  if (!spill_.empty()) [[unlikely]] {
    one = spill_.front();
    spill_.pop_front();
    return true;
  }
  if (ring.ready() == 0 && ring.collect() == 0) {
    return false;
  }
  if (ring.next(one.frame) != ipc::look::frame) {
    owner_.lose(ring.fault());
    return false;
  }
  one.lease = window_.lease();
  return true;
}

void pump::done_with(const taken& one) {
  if (one.copy != nullptr) {
    give_copy(one.copy, static_cast<std::uint32_t>(dispatch::copy_capacity(one.frame.size)));
  } else {
    window_.done(one.lease, 1);
  }
}

bool pump::hand(turn_state& t, std::uint32_t worker, const dispatch::work_item& item) {
  auto& crew = *owner_.core().workers();
  if (!crew.has_room(worker)) {
    held_ = held{worker, item};
    return false;
  }
  crew.hand(worker, item);
  ++messages_open_;
  copies_with_workers_ += item.copy_size != 0 ? 1U : 0U;
  ++t.events;
  t.bytes += item.size;
  if (t.events % publish_every == 0) {
    crew.publish();
  }
  return true;
}

std::uint32_t pump::worker_for(const dispatch::work_item& item) {
  auto& crew = *owner_.core().workers();
  switch (owner_.options().order) {
    case ordering::by_handle: return owner_.home_worker();
    case ordering::by_sender: return dispatch::worker_of(std::uint64_t{item.node} << 32 | item.pid, crew.workers());
    case ordering::by_key: {
      message m;
      m.group_ = owner_.session().group();
      m.data_ = item.data;
      m.size_ = item.size;
      m.node_ = item.node;
      m.pid_ = item.pid;
      m.sequence_ = item.sequence;
      std::uint64_t key = 0;
      if (auto thrown = dispatch::deliver([&] { key = owner_.options().key(m); })) {
        if (item.copy_size != 0) {
          give_copy(item.copy, item.copy_size);
        } else {
          window_.done(item.lease, 1);
        }
        if (item.waits != nullptr) {
          owner_.session().tell(*static_cast<cpg::awaited*>(item.waits));
        }
        owner_.close_now(std::move(thrown));
      }
      return dispatch::worker_of(key, crew.workers());
    }
    case ordering::unordered: break;
  }
  std::uint32_t least = 0;
  for (std::uint32_t i = 1; i < crew.workers(); ++i) {
    least = crew.under_way(i) < crew.under_way(least) ? i : least;
  }
  return least;
}

/// The handle is alone: the event changes the session, and what the user hears of it becomes errands.
void pump::pass_fence(turn_state& t) {
  const taken at = *std::exchange(fence_, std::nullopt);
  auto& session = owner_.session();
  const auto keep = owner_.shared_from_this();
  const auto show = [this, keep, &t](const view* v) {
    if (v == nullptr) {
      return;
    }
    if (owner_.calls().on_view) {
      owner_.count_view();
      owner_.publish();
      // The view stays as it is until the next one, which waits for this errand.
      errands_.push_back({[keep, v] {
        handle me = keep->self();
        keep->calls().on_view(me, *v);
      }});
    }
    if (owner_.options().coalesce_views) {
      merge_views(t);  // behind its errand: should the ring prove broken, the loss comes after it
    }
    owner_.look_at_crowd(v->members.size());
  };
  switch (cpg::decode(at.frame.data, at.frame.size, session.group(), t.decoded)) {
    case cpg::event_kind::broken: {
      error why = t.decoded.why.to_error();
      done_with(at);
      owner_.lose(std::move(why));
      return;
    }
    case cpg::event_kind::deliver:  // the service changed it since it was leased
      done_with(at);
      owner_.lose(error(errc::malformed, "an event in the ring changed while it was leased; this connection ended"));
      return;
    case cpg::event_kind::configuration: {
      std::vector<cpg::fragment_assembler::aborted> aborted;
      show(session.configuration_changed(t.decoded.membership, aborted));
      for (auto& one : aborted) {
        owner_.notice_aborted(std::move(one));
      }
      break;
    }
    case cpg::event_kind::totem_configuration: show(session.ring_changed(t.decoded.ring)); break;
    case cpg::event_kind::fragment: {
      owner_.count_fragment();
      if (!session.takes_messages()) {
        break;
      }
      const cpg::fragment piece = t.decoded.piece;
      auto outcome = session.piece(piece);
      for (auto& one : outcome.given_up) {
        owner_.notice_aborted(std::move(one));
      }
      sequence_ += outcome.message ? 1U : 0U;
      if (outcome.message && owner_.calls().on_message) {
        const std::uint64_t number = sequence_;
        owner_.count_messages(1, outcome.message->size());
        auto& room = owner_.core().workers()->room_of(owner_.home_worker());
        errands_.push_back({[this, keep, bytes = std::move(*outcome.message), piece, number, &room]() mutable {
          message m;
          m.group_ = keep->session().group();
          m.data_ = bytes.data();
          m.size_ = bytes.size();
          m.node_ = piece.node;
          m.pid_ = piece.pid;
          m.sequence_ = number;
          m.fragmented_ = true;
          m.in_ring_ = false;
          dispatch::lessor lessor(leases_.desk(), room);
          m.lessor_ = &lessor;
          handle me = keep->self();
          keep->calls().on_message(me, m);
        }});
      }
      own_piece_back(piece, outcome.message.has_value());
      break;
    }
  }
  done_with(at);
  collect_notices();
  if (session.removed()) {
    owner_.lose(error(errc::not_joined,
                      "another process's leave named this one: the service no longer counts this handle as a member; open a new one"));
  }
}

/// Takes what waits behind a view into it, as long as that is one more. What is not goes back to the front, ahead of the ring.
void pump::merge_views(turn_state& t) {
  auto& session = owner_.session();
  taken next;
  while (t.taken < turn_state::taken_max && (t.budget.pass == 0 || pass_left_ != 0) && session.hold_view() && take_event(t.ring, next)) {
    const auto kind = cpg::decode(next.frame.data, next.frame.size, session.group(), t.decoded);
    if (!cpg::makes_a_view(kind)) {
      spill_.push_front(next);
      break;
    }
    ++t.taken;
    if (t.budget.pass != 0) {
      --pass_left_;
    }
    std::vector<cpg::fragment_assembler::aborted> aborted;
    if (kind == cpg::event_kind::configuration) {
      static_cast<void>(session.configuration_changed(t.decoded.membership, aborted));
    } else {
      static_cast<void>(session.ring_changed(t.decoded.ring));
    }
    done_with(next);
    for (auto& one : aborted) {
      owner_.notice_aborted(std::move(one));
    }
  }
  session.show_view();
}

void pump::collect_notices() {
  auto& notices = owner_.session().notices;
  while (!notices.empty()) {
    const bool settles = notices.front().what == cpg::notice::kind::settled;
    if (auto run = owner_.call_for(std::move(notices.front()))) {
      errands_.push_back({std::move(run), settles});
    }
    notices.pop_front();
  }
}

/// Completions that follow one another go together, `most` of them; how many did. Each is owed: what one throws comes when all have run.
std::uint32_t pump::send_errand(std::uint32_t most) {
  owner_.publish();  // whoever hears of a new state finds it, on any thread
  errand_running_ = true;
  const bool settles = errands_.front().settles;
  std::function<void()> run = std::move(errands_.front().run);
  errands_.pop_front();
  std::vector<std::function<void()>> more;
  while (settles && !errands_.empty() && errands_.front().settles && more.size() + 1 < std::min(most, completions_together)) {
    more.push_back(std::move(errands_.front().run));
    errands_.pop_front();
  }
  const auto calls = static_cast<std::uint32_t>(1 + more.size());
  if (!more.empty()) {
    run = [first = std::move(run), more = std::move(more)] {
      std::exception_ptr thrown;
      const auto call = [&thrown](const std::function<void()>& one) {
        try {
          one();
        } catch (...) {
          thrown = thrown ? thrown : std::current_exception();
        }
      };
      call(first);
      std::for_each(more.begin(), more.end(), call);
      if (thrown) {
        std::rethrow_exception(thrown);
      }
    };
  }
  owner_.core().workers()->send(owner_.home_worker(), {this, std::move(run)});
  return calls;
}

void pump::send_last_errands() {
  if (!alone() || errands_.empty()) {
    return;
  }
  auto& crew = *owner_.core().workers();
  if (!crew.has_room_for_errand(owner_.home_worker())) {
    wait_for_room(owner_.home_worker());
    return;
  }
  static_cast<void>(send_errand(completions_together));
  crew.publish();
}

/// What keeps anything from being handed over, whatever the ring holds.
pump::obstacle pump::in_the_way() const {
  const auto& crew = *owner_.core().workers();
  const std::uint32_t home = owner_.home_worker();
  if (errand_running_ || ((!errands_.empty() || fence_) && !alone())) {
    return {true, {}};
  }
  if (!errands_.empty()) {
    return crew.has_room_for_errand(home) ? obstacle{} : obstacle{true, home};
  }
  if (fence_) {
    return {};
  }
  if (held_) {
    return crew.has_room(held_->worker) ? obstacle{} : obstacle{true, held_->worker};
  }
  return owner_.options().order != ordering::by_handle || crew.has_room(home) ? obstacle{} : obstacle{true, home};
}

/// The handle ends: a message that no worker got is not called back any more, but whoever waits for it is told.
void pump::let_go_of_held() {
  if (held_ && held_->item.waits != nullptr) {
    owner_.session().tell(*static_cast<cpg::awaited*>(std::exchange(held_->item.waits, nullptr)));
  }
}

void pump::wait_for_room(std::uint32_t worker) {
  if (!std::exchange(waits_for_room_, true)) {
    owner_.core().workers()->wait_for_room(worker, owner_.shared_from_this());
  }
}

void pump::room_again() {
  waits_for_room_ = false;
  if (owner_.ended()) {
    send_last_errands();
    return;
  }
  paused_ = false;
  owner_.mark_ready();
}

void pump::finish_on_workers(turn_state& t) {
  owner_.session().connection()->read_doorbells_if_due();
  reclaim_done(t.ring);
  if (leases_.anything_to_do()) [[unlikely]] {
    tend_leases();
  }
  auto& session = owner_.session();
  const obstacle found = owner_.ended() ? obstacle{} : in_the_way();
  paused_ = found.there;
  pause(paused_);
  if (found.full) {
    wait_for_room(*found.full);
  }
  stuck_ = paused_ || (messages_open_ != 0 && t.ring.leased_bytes() > t.ring.capacity_bytes() / 4);
  look_at_ring();
  relieve();
  if (owner_.ended()) {
    owner_.count_result(session.uncork());
    owner_.publish();
    return;
  }
  const bool drained = poke_if_drained(t.ring);
  owner_.count_result(session.uncork());
  const bool empty = drained && spill_.empty() && !fence_ && !held_;
  if (empty && hung_up_ && session.notices.empty() && session.answers.empty() && !owner_.ended()) {
    owner_.lose(error(errc::service_lost, "the service hung up; what it had delivered before has been handed out"));
    return;
  }
  // The room of the ring, or memory, is wanted back as soon as workers are done with it.
  await_receipts(stuck_ || copies_with_workers_ != 0 || !errands_.empty());
  mind_returns();
  owner_.publish();
}

/// What is in no hurry is not worth a wake-up for each receipt.
void pump::mind_returns() {
  if (messages_open_ == 0) {
    return_due_.reset();
  } else if (!return_due_ || *return_due_ <= owner_.now()) {
    return_due_ = owner_.now() + return_interval;
  }
}

void pump::await_receipts(bool yes) {
  if (awaits_receipts_ != yes) {
    awaits_receipts_ = yes;
    owner_.core().count_awaiting(yes);
  }
}

void pump::take_receipt(dispatch::receipt& one) {
  if (one.count == 0) {
    errand_running_ = false;
  } else {
    messages_open_ -= one.count;
    if (one.copy_size != 0) {
      --copies_with_workers_;
      give_copy(one.copy, one.copy_size);
    } else if (one.lease_taken == nullptr || !leases_.took(*one.lease_taken, one.lease, owner_.now())) {
      window_.done(one.lease, one.count);
    } else if (!owner_.ended()) {
      owner_.schedule();  // its age counts from here
    }
    uncopyable_ = std::min(uncopyable_, messages_open_ - copies_with_workers_);
    owner_.count_messages(one.called, one.bytes);
  }
  if (one.failure) {
    owner_.close_now(std::move(*one.failure));
  }
  if (owner_.ended()) {
    owner_.worker_done();
    if (idle()) {
      await_receipts(false);
    }
  } else if (awaits_receipts_) {
    paused_ = false;
    owner_.mark_ready();
  }
}

/// On a worker. One receipt for each unbroken run of leases.
std::uint32_t pump::run_items(worker_target& self, dispatch::feed& from, std::uint32_t first, std::uint32_t count) {
  auto& me = static_cast<pump&>(self);
  endpoint& owner = me.owner_;
  handle h = owner.self();
  auto& work = from.work_ends.out;
  message m;
  m.group_ = owner.session().group();
  dispatch::lessor lessor(me.leases_.desk(), from.room);
  m.lessor_ = &lessor;
  dispatch::receipt done{&self, work.front(first).lease, 0, 0, 0, nullptr, nullptr, nullptr, 0};
  const auto send = [&](std::uint64_t next) {
    CPGRING_CHECK(from.back_ends.in.emplace(std::move(done)));
    done = {&self, next, 0, 0, 0, nullptr, nullptr, nullptr, 0};
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    const dispatch::work_item& item = work.front(first + i);
    const bool apart = item.copy_size != 0;
    if (apart || item.lease != done.lease + done.count) {
      if (done.count != 0) {
        send(0);
      }
      done.lease = apart ? 0 : item.lease;
    }
    ++done.count;
    std::optional<error> thrown;
    if (owner.worker_may_call()) {  // else: closed, or the engine was stopped
      m.data_ = item.data;
      m.size_ = item.size;
      m.node_ = item.node;
      m.pid_ = item.pid;
      m.sequence_ = item.sequence;
      m.in_ring_ = !apart;
      thrown = dispatch::deliver([&] { owner.calls().on_message(h, m); });
      if (lessor.has_taken() && done.count > 1) [[unlikely]] {
        // What was done before it can go back to the ring; this one has a receipt of its own.
        --done.count;
        send(item.lease);
        done.count = 1;
      }
      ++done.called;
      done.bytes += item.size;
    }
    if (item.waits != nullptr && !owner.core().stop_requested()) [[unlikely]] {
      auto also = dispatch::deliver([&] { static_cast<cpg::awaited*>(item.waits)->tell(); });
      thrown = thrown ? std::move(thrown) : std::move(also);
    }
    if (apart || thrown || lessor.has_taken()) [[unlikely]] {
      done.lease_taken = lessor.taken();
      done.copy = apart ? item.copy : nullptr;
      done.copy_size = item.copy_size;
      if (thrown) {
        owner.no_more_calls();
        done.failure = std::make_unique<error>(std::move(*thrown));
      }
      send(apart ? 0 : item.lease + 1);
    }
  }
  if (done.count != 0) {
    send(0);
  }
  return count;
}

}  // namespace cpgring::runtime
