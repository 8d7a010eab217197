// What callbacks keep of a handle's ring beyond their end, and what becomes of it when the ring needs its room or goes.
//
// Inline, callbacks finish chunks in the ring's order, so the oldest lease is what bounds reclaiming; with workers the release window does.
#include <memory>
#include <utility>

#include "cpg/session.hpp"
#include "ipc/connection.hpp"
#include "runtime/crew.hpp"
#include "runtime/endpoint.hpp"
#include "runtime/engine_core.hpp"
#include "runtime/turn_state.hpp"

namespace cpgring::runtime {

/// Inline. The callback that took them runs, or was the last to run: `ahead` of the count of finished ones.
void pump::keep_leases(turn_state& t, dispatch::lessor& lessor, std::uint32_t ahead) {
  // In the order of the ring, so that the oldest of the list is also the first chunk. One that came back already need not be known.
  keeps_books_ = true;
  static_cast<void>(leases_.took(*lessor.taken(), finished_ + t.released.chunks() - ahead, owner_.now()));
}

/// Inline. So many more are finished; so many can go back to the ring now.
std::uint32_t pump::may_reclaim(std::uint32_t finished) noexcept {
  finished_ += finished;
  const std::uint64_t end = keeps_books_ && leases_.any_in_ring() ? leases_.oldest()->chunk : finished_;
  return static_cast<std::uint32_t>(end - std::exchange(reclaimed_, end));
}

void pump::freed(std::uint64_t chunk) {
  if (owner_.core().workers() != nullptr) {
    window_.done(chunk, 1);
  }
}

void pump::tend_leases() {
  auto& ring = owner_.session().connection()->events();
  const bool crowded = ring.used_bytes() > ring.capacity_bytes() / 2;
  leases_.tend(owner_.core().copies(), owner_.now(), crowded, [this](std::uint64_t chunk) { freed(chunk); });
  if (owner_.ended()) {
    return;
  }
  if (owner_.core().workers() != nullptr) {
    reclaim_done(ring);
  } else {
    ring.reclaim(may_reclaim(0));
    look_at_ring();
  }
}

void pump::let_go_of_leases(std::unique_ptr<ipc::connection> connection) {
  leases_.let_go(owner_.core().copies(), [&] { return std::shared_ptr<ipc::connection>(std::move(connection)); });
}

bool pump::discard_events() {
  auto& connection = *owner_.session().connection();
  auto& ring = connection.events();
  if (leases_.anything_to_do()) {
    leases_.collect(owner_.core().copies(), [](std::uint64_t) {});
    leases_.copy_out(owner_.core().copies(), base::time_point::max(), [](std::uint64_t) {});
  }
  // With bytes pinned in it the ring stays as it is: what the service can no longer write there nobody would hear of.
  const bool reclaims = !leases_.any_in_ring();
  ipc::frame frame;
  while (ring.ready() != 0 || ring.collect() != 0) {
    if (ring.next(frame) != ipc::look::frame) {
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

}  // namespace cpgring::runtime
