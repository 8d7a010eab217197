// Station D4 of 9: from runtime/link, to ipc/ring_reader.
//
// One turn of one handle: takes messages from the ring to their callbacks. Read pump.cpp first.
//
// The link calls serve() in the reactor's turns, and serve() performs D5 to D9. Reactor thread only.
// Invariants:
// I1 What a turn takes is bounded by its budget.
// I2 Chunks are reclaimed in order, and only after their callbacks.
// I3 A notice that an event caused is delivered before the next event.
// I4 After stop() no callback is started from here.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cpg/codec.hpp"
#include "cpg/send_queue.hpp"
#include "cpg/session.hpp"
#include "delivery/lane.hpp"
#include "delivery/overload_watch.hpp"
#include "delivery/recipient.hpp"
#include "delivery/shard_resources.hpp"
#include "delivery/turn.hpp"
#include "ipc/ring_reader.hpp"
#include "lease/chunk_ledger.hpp"
#include "lease/lease_table.hpp"
#include "reactor/source.hpp"

namespace cpgring::delivery {

class pump {
 public:
  pump(const recipient& who, shard_resources& shared, cpg::session& session, pump_listener& listener)
      : who_(who),
        shared_(shared),
        session_(session),
        listener_(listener),
        leases_(who.options.retained_bytes_max, who.options.lease_age_max),
        watch_(who.counters) {}

  /// Takes events within the budget and hands them to the lane. Precondition: there is a connection.
  template <lane Lane>
  reactor::turn_result serve(Lane& where, const reactor::turn_budget& budget);
  /// A turn would find something to take. Cheap; called often.
  [[nodiscard]] bool waiting() const noexcept;
  /// The service has hung up: the connection is lost once the ring is empty.
  void hung_up() noexcept { hung_up_ = true; }
  [[nodiscard]] bool has_hung_up() const noexcept { return hung_up_; }
  /// The session failed. After errc::service_lost the ring is emptied first, as after a hang-up; after any
  /// other error the connection is lost at once.
  void session_failed(error why);
  /// The handle has ended: no event is handed over any more. `lost`: the ring is not read any more either.
  void stop(bool lost) noexcept {
    stopped_ = true;
    lost_ = lost_ || lost;
  }
  /// Nothing can be handed over, whatever the ring holds: no turn is needed before resume().
  [[nodiscard]] bool blocked() const noexcept { return blocked_; }
  void resume() noexcept { blocked_ = false; }

  /// To be called at due(), at the latest: handles leases that are too old, chunks that workers have
  /// finished, and the fill level of the ring.
  template <lane Lane>
  void on_timer(Lane& where);
  [[nodiscard]] std::optional<base::time_point> due() const noexcept;

  /// After the end: takes all events off the ring without delivering them. False: the ring is faulty.
  bool discard_events();
  /// The connection ends: frees copies of undelivered events; leases that pin bytes keep the rings mapped.
  template <lane Lane>
  void release_ring(Lane& where, std::unique_ptr<ipc::connection> connection);

  [[nodiscard]] leasing::chunk_ledger& ledger() noexcept { return ledger_; }
  [[nodiscard]] leasing::lease_table& leases() noexcept { return leases_; }
  /// True once workers or leases are in use. Until then their state is never read, so its cache lines stay
  /// cold.
  [[nodiscard]] bool uses_leases() const noexcept { return uses_leases_; }
  void use_leases() noexcept { uses_leases_ = true; }

 private:
  struct claimed_event {  // taken off the ring: claimed in the ring, or copied
    ipc::frame frame;
    std::uint64_t claim = 0;
    std::byte* copy = nullptr;  // the buffer that holds the frame; null: it is in the ring
  };
  // While workers have chunks of the ring, finished chunks are reclaimed at this interval even if no event
  // arrives. Otherwise an event too large for the rest of the ring would wait in the service for room, and
  // the pump for that event.
  static constexpr base::nanoseconds return_interval = std::chrono::milliseconds(20);

  [[nodiscard]] bool keep_going() const noexcept {
    return !stopped_ && !shared_.stop_requested.load(std::memory_order_relaxed);
  }
  [[nodiscard]] base::time_point now() const noexcept { return shared_.clock.now(); }
  void begin_pass(const turn& t) noexcept;
  template <lane Lane>
  void begin_turn(Lane& where, turn& t);
  template <lane Lane>
  bool step(Lane& where, turn& t);
  template <lane Lane>
  void end_turn(Lane& where, turn& t);
  template <lane Lane>
  bool more_to_do(const Lane& where, const turn& t);
  template <lane Lane>
  bool hand_batch(Lane& where, turn& t);
  template <lane Lane>
  void hand_messages(Lane& where, turn& t);
  template <lane Lane>
  void skip_messages(Lane& where, turn& t);
  template <lane Lane>
  bool run_notices(Lane& where, turn& t);
  template <lane Lane, class Call>
  void run(Lane& where, turn& t, Call&& call, bool completes = false) {
    if (auto thrown = where.call(t, std::forward<Call>(call), completes)) {
      listener_.ended(std::move(*thrown));
    }
  }

  bool fill_batch(turn& t, std::uint32_t room);
  void fill_from_spill(turn& t);
  bool fill_from_ring(turn& t, std::uint32_t room);
  void push_message(turn& t, std::uint32_t ring_bytes);
  bool take_event(turn& t, claimed_event& one);
  void count_taken(turn& t) noexcept {
    ++t.taken;
    if (t.budget.pass != 0) {
      --pass_left_;
    }
  }
  bool lose_if_faulty();

  template <lane Lane>
  bool apply_fence(Lane& where, turn& t);
  template <lane Lane>
  void apply(Lane& where, turn& t, cpg::event_kind kind);
  template <lane Lane>
  void configuration_changed(Lane& where, turn& t);
  template <lane Lane>
  void show(Lane& where, turn& t, const view* v);
  template <lane Lane>
  void merge_views(Lane& where, turn& t);
  template <lane Lane>
  void fragment_came(Lane& where, turn& t);
  template <lane Lane>
  void give_back(Lane& where, const claimed_event& one);
  void notice_aborted(std::vector<cpg::fragment_assembler::aborted>& all);
  cpg::queued_multicast* confirm_own(std::size_t bytes, std::uint64_t sequence);
  void confirm_own_large(const cpg::fragment& piece, bool whole);

  [[nodiscard]] bool events_wait(const ipc::ring_reader& ring) const noexcept {
    return ring.ready() != 0 || ring.waiting() != 0 || (uses_leases_ && !copied_events_.empty());
  }
  [[nodiscard]] bool pass_goes_on(const turn& t) const noexcept {
    return t.budget.pass == 0 || pass_left_ != 0;
  }
  [[nodiscard]] bool answers_wait(const turn& t) const noexcept;
  bool answers_have_priority(const turn& t);
  void take_answers(turn& t, std::size_t most);

  void reclaim(ipc::ring_reader& ring);
  bool poke_if_drained(ipc::ring_reader& ring);
  template <lane Lane>
  void maintain_leases(Lane& where);
  template <lane Lane>
  void check_overload(Lane& where);
  template <lane Lane>
  [[nodiscard]] base::nanoseconds reclaim_age() const noexcept;
  template <lane Lane>
  void relieve(Lane& where);
  template <lane Lane>
  void copy_out(Lane& where);
  template <lane Lane>
  void copy_event(Lane& where, claimed_event& one);
  void plan_return();
  void count_send(const result<void>& outcome) noexcept {
    who_.counters.send_failures.add(outcome ? 0U : 1U);  // the reactor notices a dead socket by itself
  }

  const recipient& who_;
  shard_resources& shared_;
  cpg::session& session_;
  pump_listener& listener_;
  std::uint64_t sequence_ = 0;  // of the last message
  leasing::chunk_ledger ledger_;
  std::uint64_t pass_ = 0;           // the bounded pass that pass_left_ belongs to
  std::uint32_t pass_left_ = 0;      // events that may still be taken in that pass
  std::size_t answers_left_ = 0;     // answers that may still be taken in that pass
  bool answers_left_known_ = false;  // false: answers were not considered yet in that pass
  bool answers_had_priority_ =
      false;  // true: messages go first next time, so that answers do not starve them
  bool hung_up_ = false;
  bool stopped_ = false;
  bool lost_ = false;
  bool blocked_ = false;
  bool stalled_ = false;  // workers hold much of the ring, or nothing can be handed over
  bool uses_leases_ = false;
  std::optional<claimed_event> fence_;  // an event that is no plain message; waits until the handle is alone
  std::optional<error> fault_;          // the connection is lost after the batch that was taken before

  leasing::lease_table leases_;
  std::deque<claimed_event>
      copied_events_;  // copied out of the ring, or put back: before the ring, after fence_
  std::optional<base::time_point> return_due_;
  overload_watch watch_;
};

}  // namespace cpgring::delivery
