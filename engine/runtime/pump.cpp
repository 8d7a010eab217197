#include "runtime/pump.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.hpp"
#include "cpg/session.hpp"
#include "dispatch/deliver.hpp"
#include "dispatch/inline_worker.hpp"
#include "ipc/connection.hpp"
#include "runtime/endpoint.hpp"
#include "runtime/engine_core.hpp"
#include "runtime/turn_state.hpp"

namespace cpgring::runtime {

reactor::turn_result pump::turn(const reactor::turn_budget& budget) {
  const auto keep = owner_.shared_from_this();
  if (owner_.core().workers() != nullptr) {
    return turn_on_workers(budget);
  }
  if (owner_.lingering()) {
    discard();
    return {0, 0, owner_.lingering() && owner_.session().more_to_write()};
  }
  turn_state t(budget, owner_.self(), *owner_.session().connection());
  begin_pass(budget.pass);
  if (prepare(t)) {
    while (!t.spent()) {
      const step leased = lease_batch(t);  // D3 lease, D4 decode, D5 hand over
      if (view_held_ && !(t.batch.empty() && cpg::makes_a_view(t.rare)) && !show_held(t))
        break;
      if (!work_batch(t))
        break;  // D6 work, D7 call back, D8 release
      if (leased == step::ended || !rare_event(t))
        break;  // views, ring changes, fragments
      if (t.released.due())
        t.ring.reclaim(may_reclaim(t.released.take()));  // D9 reclaim
      if (leased == step::empty)
        break;
    }
    if (view_held_)
      static_cast<void>(show_held(t));
  }
  finish(t);
  owner_.core().flush_staged();  // what its callbacks multicast on other handles
  if (owner_.ended()) {
    return {t.events, t.bytes, false};
  }
  const bool waits = t.ring.ready() != 0 || t.ring.waiting() != 0;
  const auto& session = owner_.session();
  return {t.events, t.bytes,
          (waits && (budget.pass == 0 || pass_left_ != 0)) || !session.notices.empty() || answers_wait(budget) || session.more_to_write()};
}

void pump::begin_pass(std::uint64_t pass) noexcept {
  if (pass != 0 && pass != pass_) {
    pass_ = pass;
    auto& ring = owner_.session().connection()->events();
    pass_left_ = ring.ready() + ring.waiting() + static_cast<std::uint32_t>(spill_.size());
    answers_left_known_ = false;
  }
}

/// Answers, requests that can be written now, and the notices that came of them.
bool pump::prepare(turn_state& t) {
  auto& session = owner_.session();
  session.cork();
  if (session.busy()) {
    if (auto ok = session.progress(owner_.now()); !ok) {
      owner_.lose(ok.error());
      return false;
    }
  }
  return run_notices(t) && run_answers(t);
}

pump::step pump::lease_batch(turn_state& t) {
  auto& session = owner_.session();
  t.batch.clear();
  t.rare = cpg::event_kind::deliver;
  const std::uint32_t room = t.budget.pass != 0 ? std::min(t.budget.events - t.events, pass_left_) : t.budget.events - t.events;
  std::uint64_t bytes = t.bytes;
  ipc::frame frame;
  while (!t.batch.full() && t.batch.size() < room && bytes < t.budget.bytes) {
    if (t.ring.ready() == 0 && t.ring.collect() == 0) {
      return step::empty;
    }
    if (t.ring.next(frame) != ipc::look::frame) {
      owner_.lose_after_batch(t.ring.fault());
      return step::ended;
    }
    ++t.taken;
    if (t.budget.pass != 0) {
      --pass_left_;
    }
    const cpg::event_kind kind = cpg::decode(frame.data, frame.size, session.group(), t.decoded);
    if (kind == cpg::event_kind::broken) [[unlikely]] {
      owner_.lose_after_batch(t.decoded.why.to_error());
      return step::ended;
    }
    if (kind != cpg::event_kind::deliver) [[unlikely]] {
      t.rare = kind;
      t.rare_bytes = frame.size;
      return step::more;
    }
    const cpg::deliver& m = t.decoded.message;
    t.batch.push({m.data, m.size, m.node, m.pid, frame.size});
    bytes += m.size;
    if (session.is_own(m.node, m.pid)) {
      cpg::awaited* const waits = own_message_back(m.size, sequence_ + t.batch.size());
      if (waits != nullptr) [[unlikely]] {
        session.tell(*waits);  // the batch ends here: its notice runs behind it
        return step::more;
      }
    }
  }
  return room == t.batch.size() && t.budget.pass != 0 && pass_left_ == 0 ? step::empty : step::more;
}

/// Whoever waits for it, told of its place; the handle is lost behind it if the service made another message of it.
cpg::awaited* pump::own_message_back(std::size_t bytes, std::uint64_t sequence) {
  auto waits = owner_.session().came_back(bytes);
  if (!waits) [[unlikely]] {
    owner_.lose_after_batch(waits.error());
    return nullptr;
  }
  if (*waits != nullptr) {
    cpg::session::confirm(**waits, sequence);
  }
  return *waits;
}

bool pump::work_batch(turn_state& t) {
  if (t.batch.empty()) {
    return !owner_.lose_if_due();
  }
  const auto& on_message = owner_.calls().on_message;
  if (!on_message || !owner_.session().takes_messages()) {
    sequence_ += t.batch.size();
    for (const auto& one : t.batch) {
      t.released.add(one.ring_bytes);
      t.bytes += one.size;
    }
    return !owner_.lose_if_due();
  }
  dispatch::lessor lessor(leases_.desk(), owner_.core().callback_room());
  message m;
  m.group_ = owner_.session().group();
  m.lessor_ = &lessor;
  const auto call = [&](const dispatch::descriptor& one) {
    m.data_ = one.data;
    m.size_ = one.size;
    m.node_ = one.node;
    m.pid_ = one.pid;
    m.sequence_ = ++sequence_;
    on_message(t.self, m);
    if (lessor.has_taken()) [[unlikely]] {
      keep_leases(t, lessor, 0);
    }
  };
  auto done = dispatch::work_inline(t.batch, t.released, call, [this] { return owner_.goes_on(); });
  if (lessor.has_taken()) {  // the callback threw
    keep_leases(t, lessor, 1);
  }
  t.events += done.events;
  t.bytes += done.bytes;
  owner_.count_messages(done.events, done.bytes);
  if (done.failure) {
    owner_.close_now(std::move(done.failure));
  }
  return owner_.goes_on() && !owner_.lose_if_due();
}

/// Shows a view, or holds it back for what may be merged into it; there is none when it is none of the user's business.
bool pump::show(turn_state& t, const view* v, bool may_hold) {
  if (v != nullptr && may_hold && owner_.options().coalesce_views && owner_.session().hold_view()) {
    view_held_ = true;
    return owner_.goes_on();
  }
  view_held_ = false;
  owner_.session().show_view();
  if (v != nullptr) {
    owner_.look_at_crowd(v->members.size());
  }
  if (v != nullptr && owner_.calls().on_view) {
    owner_.count_view();
    owner_.publish();  // with the own view comes the state joined or left
    ++t.events;
    return owner_.run([&] { owner_.calls().on_view(t.self, *v); });
  }
  return owner_.goes_on();
}

bool pump::show_held(turn_state& t) { return show(t, owner_.session().current_view(), false) && run_notices(t); }

bool pump::rare_event(turn_state& t) {
  auto& session = owner_.session();
  bool go_on = true;
  switch (t.rare) {
    case cpg::event_kind::deliver: return run_notices(t);
    case cpg::event_kind::broken: return false;  // the batch ended ahead of it
    case cpg::event_kind::configuration: {
      std::vector<cpg::fragment_assembler::aborted> aborted;
      go_on = show(t, session.configuration_changed(t.decoded.membership, aborted), aborted.empty());
      for (auto& one : aborted) {
        owner_.notice_aborted(std::move(one));
      }
      if (go_on && session.removed()) {
        owner_.lose(error(errc::not_joined,
                          "another process's leave named this one: the service no longer counts this handle as a member; open a new one"));
        return false;
      }
      break;
    }
    case cpg::event_kind::totem_configuration: go_on = show(t, session.ring_changed(t.decoded.ring), true); break;
    case cpg::event_kind::fragment: {
      owner_.count_fragment();
      if (!session.takes_messages()) {
        break;
      }
      auto outcome = session.piece(t.decoded.piece);
      for (auto& one : outcome.given_up) {
        owner_.notice_aborted(std::move(one));
      }
      sequence_ += outcome.message ? 1U : 0U;
      own_piece_back(t.decoded.piece, outcome.message.has_value());
      if (outcome.message && owner_.calls().on_message) {
        message m;
        m.group_ = session.group();
        m.data_ = outcome.message->data();
        m.size_ = outcome.message->size();
        m.node_ = t.decoded.piece.node;
        m.pid_ = t.decoded.piece.pid;
        m.sequence_ = sequence_;
        m.fragmented_ = true;
        m.in_ring_ = false;
        dispatch::lessor lessor(leases_.desk(), owner_.core().callback_room());
        m.lessor_ = &lessor;
        ++t.events;
        t.bytes += m.size_;
        owner_.count_messages(1, m.size_);
        go_on = owner_.run([&] { owner_.calls().on_message(t.self, m); });
        keeps_books_ = true;  // there may be leases on it
      }
      break;
    }
  }
  t.released.add(t.rare_bytes);
  return go_on && run_notices(t);
}

/// The last piece of an own large message: it is back, unless this side gave it up.
void pump::own_piece_back(const cpg::fragment& piece, bool whole) {
  auto& session = owner_.session();
  if (piece.type != cpg::wire::fragment_type::last || !session.is_own(piece.node, piece.pid)) {
    return;
  }
  if (whole) {
    if (cpg::awaited* const waits = own_message_back(piece.total, sequence_)) {
      session.tell(*waits);
    }
  } else if (const auto waits = session.came_back(piece.total); waits && *waits != nullptr) {
    session.give_up(**waits, error(errc::interrupt, "a change of membership tore the message on its way back; others may have it whole"));
  }
}

bool pump::run_notices(turn_state& t) {
  auto& notices = owner_.session().notices;
  while (!notices.empty() && t.events < t.budget.events) {
    cpg::notice one = std::move(notices.front());
    notices.pop_front();
    t.events += owner_.deliver_notice(one) ? 1U : 0U;
    if (!owner_.goes_on()) {
      return false;
    }
  }
  return notices.empty();
}

bool pump::run_answers(turn_state& t) {
  if (owner_.session().answers.empty() || !answers_due(t)) {
    return true;
  }
  take_answers(t, t.budget.events - t.events);
  return run_notices(t);
}

/// Answers and messages go first in turn.
bool pump::answers_due(const turn_state& t) {
  const bool waits = events_wait(t.ring) && (t.budget.pass == 0 || pass_left_ != 0);
  answers_went_first_ = !(answers_went_first_ && waits);
  return answers_went_first_;
}

void pump::take_answers(turn_state& t, std::size_t most) {
  auto& session = owner_.session();
  if (t.budget.pass != 0) {
    if (!std::exchange(answers_left_known_, true)) {
      answers_left_ = session.answers.size();
    }
    most = std::min(most, answers_left_);
    answers_left_ -= most;
  }
  session.answers_to_notices(most);
}

bool pump::answers_wait(const reactor::turn_budget& budget) const noexcept {
  return !owner_.session().answers.empty() && (budget.pass == 0 || !answers_left_known_ || answers_left_ != 0);
}

void pump::finish(turn_state& t) {
  if (owner_.ended() && !owner_.lingering()) {
    return;  // the connection is gone, and its ring with it
  }
  owner_.session().connection()->read_doorbells_if_due();
  t.ring.reclaim(may_reclaim(t.released.take()));
  if (keeps_books_ && leases_.anything_to_do()) [[unlikely]] {
    tend_leases();
  }
  auto& session = owner_.session();
  const bool drained = poke_if_drained(t.ring);
  owner_.count_result(session.uncork());
  if (drained && hung_up_ && session.notices.empty() && session.answers.empty() && !owner_.ended()) {
    owner_.lose(error(errc::service_lost, "the service hung up; what it had delivered before has been handed out"));
  }
  owner_.publish();
}

/// True: nothing waits in the ring. A service that met a full ring queues, and goes on at once when it is asked for anything.
bool pump::poke_if_drained(ipc::ring_reader& ring) {
  if (ring.ready() != 0 || ring.waiting() != 0) {
    return false;
  }
  if (ring.nearly_full_seen()) {
    owner_.session().poke();
    owner_.count_result(owner_.session().progress(owner_.now()));
  }
  return true;
}

/// After close(): events are taken off the ring, so that the service gets on with what was multicast, but nobody hears of them.
void pump::discard() {
  if (!discard_events() || hung_up_ || !owner_.session().progress(owner_.now())) {
    owner_.linger_over();
    return;
  }
  owner_.schedule();
}

bool pump::waiting() const noexcept {
  if (paused_) {
    return false;
  }
  const auto& session = owner_.session();
  const auto* connection = session.connection();
  return connection != nullptr && (events_wait(connection->events()) || !session.notices.empty() || !session.answers.empty() ||
                                   (session.expects_answers() && connection->responses().waiting() != 0));
}

void pump::hung_up() { hung_up_ = true; }

}  // namespace cpgring::runtime
