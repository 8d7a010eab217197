// Events that are no plain messages: views, ring changes, fragments. The handle is alone meanwhile.
#include <utility>
#include <vector>

#include "delivery/inline_lane.hpp"
#include "delivery/pump.hpp"
#include "delivery/worker_lane.hpp"

namespace cpgring::delivery {

/// Applies the event to the session and notifies the user; the handle is alone. False: it has ended.
template <lane Lane>
bool pump::apply_fence(Lane& where, turn& t) {
  const claimed_event at = *std::exchange(fence_, std::nullopt);
  const cpg::event_kind kind = cpg::decode(at.frame.data, at.frame.size, session_.group(), t.decoded);
  if (kind == cpg::event_kind::broken || kind == cpg::event_kind::deliver) [[unlikely]] {
    error why = kind == cpg::event_kind::broken
                    ? t.decoded.to_error()
                    : error(errc::malformed,
                            "an event changed in the ring while it was in use; this connection ended");
    give_back(where, at);
    listener_.lost(std::move(why));
    return false;
  }
  apply(where, t, kind);
  give_back(where, at);
  if (keep_going() && session_.removed()) {
    listener_.lost(
        error(errc::not_joined,
              "another process's leave named this one: the service no longer counts this handle as a "
              "member; open a new one"));
  }
  return keep_going() && !lose_if_faulty();
}

template <lane Lane>
void pump::apply(Lane& where, turn& t, cpg::event_kind kind) {
  if (kind == cpg::event_kind::configuration) {
    configuration_changed(where, t);
  } else if (kind == cpg::event_kind::totem_configuration) {
    show(where, t, session_.ring_changed(t.decoded.ring));
  } else {
    fragment_came(where, t);
  }
}

template <lane Lane>
void pump::configuration_changed(Lane& where, turn& t) {
  std::vector<cpg::fragment_assembler::aborted> aborted;
  const view* const v = session_.configuration_changed(t.decoded.membership, aborted);
  notice_aborted(aborted);
  show(where, t, v);
}

/// `v` is null if the change is not visible to this handle.
template <lane Lane>
void pump::show(Lane& where, turn& t, const view* v) {
  if (v != nullptr && who_.options.coalesce_views) {
    merge_views(where, t);
  }
  session_.show_view();
  if (v == nullptr) {
    return;
  }
  shared_.large_groups.check(session_.group(), v->members.size());
  if (who_.calls.on_view) {
    who_.counters.views.add();
    listener_.publish();  // the own view changes the state to joined or left
    // The view stays valid until the next one, which waits for this call.
    run(where, t, [self = t.self, calls = &who_.calls, v]() mutable { calls->on_view(self, *v); });
  }
}

/// Merges the changes that follow directly into the view. Another event is put back before the ring.
template <lane Lane>
void pump::merge_views(Lane& where, turn& t) {
  claimed_event next;
  while (t.taken < turn::taken_max && pass_goes_on(t) && session_.hold_view() && take_event(t, next)) {
    const auto kind = cpg::decode(next.frame.data, next.frame.size, session_.group(), t.decoded);
    if (!cpg::makes_a_view(kind)) {
      copied_events_.push_front(next);
      uses_leases_ = true;
      return;
    }
    count_taken(t);
    std::vector<cpg::fragment_assembler::aborted> aborted;
    if (kind == cpg::event_kind::configuration) {
      static_cast<void>(session_.configuration_changed(t.decoded.membership, aborted));
    } else {
      static_cast<void>(session_.ring_changed(t.decoded.ring));
    }
    give_back(where, next);
    notice_aborted(aborted);
  }
}

/// Takes the oldest event that was not taken yet. False: there is none, or the ring is faulty.
bool pump::take_event(turn& t, claimed_event& one) {
  if (!copied_events_.empty()) {
    one = copied_events_.front();
    copied_events_.pop_front();
    return true;
  }
  if (t.ring.ready() == 0 && t.ring.collect() == 0) {
    return false;
  }
  if (t.ring.next(one.frame) != ipc::read_result::frame) {
    fault_ = t.ring.fault();
    return false;
  }
  one.claim = ledger_.claim();
  one.copy = nullptr;
  return true;
}

template <lane Lane>
void pump::fragment_came(Lane& where, turn& t) {
  who_.counters.fragments.add();
  if (!session_.takes_messages()) {
    return;
  }
  const cpg::fragment piece = t.decoded.piece;
  auto outcome = session_.piece(piece);
  notice_aborted(outcome.given_up);
  sequence_ += outcome.message ? 1U : 0U;
  confirm_own_large(piece, outcome.message.has_value());
  if (!outcome.message || !who_.calls.on_message) {
    return;
  }
  t.bytes += outcome.message->size();
  t.leased = true;
  who_.counters.messages.add();
  who_.counters.message_bytes.add(outcome.message->size());
  run(where, t,
      [self = t.self, calls = &who_.calls, bytes = std::move(*outcome.message), piece, number = sequence_,
       group = session_.group(), leases = leases_.pool(), scratch = &where.scratch()]() mutable {
        leasing::lease_factory factory(leases, *scratch);
        message_writer writer(group, &factory);
        writer.set(bytes.data(), bytes.size(), piece.node, piece.pid, number);
        writer.set_fragmented();
        calls->on_message(self, writer.get());
      });
}

/// The last fragment of an own large message has come back. `whole`: this side has the whole message.
void pump::confirm_own_large(const cpg::fragment& piece, bool whole) {
  if (piece.type != cpg::wire::fragment_type::last || !session_.is_own(piece.node, piece.pid)) {
    return;
  }
  if (whole) {
    if (cpg::queued_multicast* const waits = confirm_own(piece.total, sequence_)) {
      session_.report(*waits);
    }
  } else if (const auto waits = session_.own_delivered(piece.total); waits && *waits != nullptr) {
    session_.give_up(**waits, error(errc::interrupt,
                                    "a membership change interrupted the message on its way back; "
                                    "other members may have all of it"));
  }
}

void pump::notice_aborted(std::vector<cpg::fragment_assembler::aborted>& all) {
  for (auto& one : all) {
    who_.counters.aborted.add();
    session_.notices.push_back(std::move(one));
  }
}

template <lane Lane>
void pump::give_back(Lane& where, const claimed_event& one) {
  if (one.copy == nullptr) {
    ledger_.done(one.claim, 1);
    ledger_.add_bytes(one.frame.size);
  } else if constexpr (Lane::on_workers) {
    where.free_copy(one.copy, static_cast<std::uint32_t>(leasing::copy_capacity(one.frame.size)));
  }
}

template bool pump::apply_fence(inline_lane&, turn&);
template bool pump::apply_fence(worker_lane&, turn&);

}  // namespace cpgring::delivery
