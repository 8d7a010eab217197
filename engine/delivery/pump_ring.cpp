// The return of ring space: finished chunks, leases, and copies if callbacks are too slow.
#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/hot.hpp"
#include "delivery/inline_lane.hpp"
#include "delivery/pump.hpp"
#include "delivery/worker_lane.hpp"
#include "dispatch/deliver.hpp"
#include "ipc/connection.hpp"

namespace cpgring::delivery {

void pump::session_failed(error why) {
  if (why == errc::service_lost) {
    hung_up_ = true;
  } else {
    listener_.lost(std::move(why));
  }
}

CPGRING_HOT void pump::reclaim(ipc::ring_reader& ring) {
  const std::uint32_t chunks = ledger_.take();
  if (chunks != 0) {
    watch_.moved(now());
  }
  ring.reclaim(chunks);
}

/// True: no event waits in the ring. A service that found the ring full queues events, and continues at once
/// when any request comes.
CPGRING_HOT bool pump::poke_if_drained(ipc::ring_reader& ring) {
  if (ring.ready() != 0 || ring.waiting() != 0) {
    return false;
  }
  if (ring.take_nearly_full()) {
    session_.poke();
    count_send(session_.progress(now()));
  }
  return true;
}

template <lane Lane>
void pump::maintain_leases(Lane& where) {
  auto& ring = session_.connection()->events();
  const bool crowded = ring.used_bytes() > ring.capacity_bytes() / 2;
  leases_.maintain(shared_.copies, now(), crowded, [this](std::uint64_t chunk) { ledger_.done(chunk, 1); });
  if (stopped_) {
    return;
  }
  reclaim(ring);
  if constexpr (!Lane::on_workers) {
    check_overload(where);
  }
}

template <lane Lane>
void pump::check_overload(Lane& where) {
  auto& ring = session_.connection()->events();
  std::size_t copies = 0;
  if constexpr (Lane::on_workers) {
    copies = where.copy_bytes();
  }
  const auto age = reclaim_age<Lane>();
  if (watch_.check(ring, now(), stalled_ || leases_.any_in_ring(), age, copies) && who_.calls.on_overload) {
    const overload_warning warning{ring.used_bytes(), ring.capacity_bytes(), age, copies};
    handle self = who_.self();
    if (auto thrown = dispatch::deliver([&] { who_.calls.on_overload(self, warning); })) {
      listener_.ended(std::move(*thrown));
    }
  }
}

template <lane Lane>
base::nanoseconds pump::reclaim_age() const noexcept {
  if constexpr (Lane::on_workers) {
    return ledger_.open() == 0 ? base::nanoseconds(0) : now() - watch_.last_moved();
  }
  return leases_.any_in_ring() ? now() - leases_.oldest()->since : watch_.callback_time();
}

template <lane Lane>
void pump::relieve(Lane& where) {
  if (stopped_ || !stalled_ || !watch_.lasts(now())) {
    return;
  }
  auto& ring = session_.connection()->events();
  if (ring.used_bytes() < ring.capacity_bytes() / 4 * 3) {
    return;
  }
  switch (who_.options.when_overloaded) {
    case overload::hold: return;
    case overload::disconnect: {
      const auto for_ms = std::chrono::duration_cast<std::chrono::milliseconds>(reclaim_age<Lane>()).count();
      listener_.ended(
          error(errc::overloaded,
                fmt::format("its callbacks are too slow: {} of {} bytes of its ring are in use, nothing was "
                            "reclaimed for {} ms, and when_overloaded is disconnect",
                            ring.used_bytes(), ring.capacity_bytes(), for_ms)));
      return;
    }
    case overload::copy_out: copy_out(where); return;
  }
}

/// A ring is reclaimed from its oldest chunk, so copying helps only if everything before a chunk is copied
/// too: first what leases hold, then what workers have queued but not started, then what was taken and not
/// handed over, then what is unread. A message whose callback runs stays in the ring: the service waits for
/// that one handle as long as the callback takes.
template <lane Lane>
void pump::copy_out(Lane& where) {
  auto& connection = *session_.connection();
  auto& ring = connection.events();
  leases_.copy_out(shared_.copies, base::time_point::max(),
                   [this](std::uint64_t chunk) { ledger_.done(chunk, 1); });
  where.copy_out();
  if (fence_) {
    copy_event(where, *fence_);
  }
  for (claimed_event& one : copied_events_) {
    copy_event(where, one);
  }
  while (ledger_.open() == 0 && (ring.ready() != 0 || ring.collect() != 0)) {
    claimed_event one;
    if (ring.next(one.frame) != ipc::read_result::frame) {
      listener_.lost(ring.fault());
      return;
    }
    one.claim = ledger_.claim();
    copy_event(where, one);
    copied_events_.push_back(one);
  }
  connection.read_doorbells_if_due();
  reclaim(ring);
}

template <lane Lane>
void pump::copy_event(Lane& where, claimed_event& one) {
  if (one.copy != nullptr) {
    return;
  }
  if (std::byte* const to = where.copy_of(one.frame.data, one.frame.size)) {
    ledger_.done(one.claim, 1);
    one.frame.data = one.copy = to;
  }
}

/// Chunks that workers have finished are reclaimed at an interval; a wake-up for each report would cost more.
void pump::plan_return() {
  if (ledger_.open() == 0) {
    return_due_.reset();
  } else if (!return_due_ || *return_due_ <= now()) {
    return_due_ = now() + return_interval;
  }
}

template <lane Lane>
void pump::on_timer(Lane& where) {
  maintain_leases(where);
  if constexpr (Lane::on_workers) {
    plan_return();
    if (stalled_ && !stopped_) {
      check_overload(where);
      relieve(where);
      if (!stopped_) {
        static_cast<void>(poke_if_drained(session_.connection()->events()));
      }
    }
  }
}

std::optional<base::time_point> pump::due() const noexcept {
  if (!uses_leases_) {
    return std::nullopt;
  }
  std::optional<base::time_point> earliest = leases_.due();
  const auto consider = [&earliest](std::optional<base::time_point> at) {
    if (at && (!earliest || *at < *earliest)) {
      earliest = at;
    }
  };
  consider(return_due_);
  if (stalled_) {
    consider(now() + overload_watch::check_interval);
  }
  return earliest;
}

CPGRING_HOT bool pump::waiting() const noexcept {
  if (blocked_) {
    return false;
  }
  const auto* connection = session_.connection();
  return connection != nullptr &&
         (events_wait(connection->events()) || !session_.notices.empty() || !session_.answers.empty() ||
          (session_.expects_answers() && connection->responses().waiting() != 0));
}

bool pump::discard_events() {
  auto& connection = *session_.connection();
  auto& ring = connection.events();
  if (leases_.has_work()) {
    leases_.collect(shared_.copies, [](std::uint64_t) {});
    leases_.copy_out(shared_.copies, base::time_point::max(), [](std::uint64_t) {});
  }
  // A ring with pinned bytes is not reclaimed: nobody would receive what the service writes into it.
  const bool reclaims = !leases_.any_in_ring();
  ipc::frame frame;
  while (ring.ready() != 0 || ring.collect() != 0) {
    if (ring.next(frame) != ipc::read_result::frame) {
      return false;
    }
    if (reclaims && ring.leased() >= 64) {
      ring.reclaim(ring.leased());
      connection.read_doorbells_if_due();
    }
  }
  if (reclaims) {
    ring.reclaim(ring.leased());
  }
  connection.read_doorbells_if_due();
  return true;
}

template <lane Lane>
void pump::release_ring(Lane& where, std::unique_ptr<ipc::connection> connection) {
  if constexpr (Lane::on_workers) {
    for (const claimed_event& one : std::exchange(copied_events_, {})) {
      if (one.copy != nullptr) {
        where.free_copy(one.copy, static_cast<std::uint32_t>(leasing::copy_capacity(one.frame.size)));
      }
    }
    if (const auto one = std::exchange(fence_, std::nullopt); one && one->copy != nullptr) {
      where.free_copy(one->copy, static_cast<std::uint32_t>(leasing::copy_capacity(one->frame.size)));
    }
    where.free_held_copy();
  }
  leases_.release_ring(shared_.copies,
                       [&] { return std::shared_ptr<ipc::connection>(std::move(connection)); });
}

template void pump::maintain_leases(inline_lane&);
template void pump::maintain_leases(worker_lane&);
template void pump::check_overload(inline_lane&);
template void pump::check_overload(worker_lane&);
template void pump::relieve(worker_lane&);
template void pump::on_timer(inline_lane&);
template void pump::on_timer(worker_lane&);
template void pump::release_ring(inline_lane&, std::unique_ptr<ipc::connection>);
template void pump::release_ring(worker_lane&, std::unique_ptr<ipc::connection>);

}  // namespace cpgring::delivery
