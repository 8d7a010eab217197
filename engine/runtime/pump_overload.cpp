// What a turn can't hand over because workers are behind: when that is told of, and what leaves the ring so that it can go on.
//
// A ring goes on from its oldest chunk, so copying helps only where everything ahead is copied too: first what leases hold, then what lies
// in workers' queues and has not been begun with, then what was taken and could not be handed over, then what is still unread. What a
// callback is running on stays: the service waits for that one handle as long as the callback takes.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "cpg/session.hpp"
#include "ipc/connection.hpp"
#include "runtime/crew.hpp"
#include "runtime/endpoint.hpp"
#include "runtime/engine_core.hpp"
#include "runtime/turn_state.hpp"

namespace cpgring::runtime {

/// In each turn, and in intervals while workers hold much of the ring: a burst that they are quick with is no overload, a crowd that stays
/// is.
void pump::look_at_ring() {
  auto& ring = owner_.session().connection()->events();
  const std::uint32_t used = ring.used_bytes(), size = ring.capacity_bytes();
  ring_look_.used = used;
  ring_look_.used_max = std::max(ring_look_.used_max, used);
  ring_look_.oldest_age = nothing_returned_for();
  if (used < size / 2 || (!stuck_ && !leases_.any_in_ring())) {
    half_since_.reset();
    warned_ = warned_ && (used >= size / 4 || copies_open_ != 0);
    return;
  }
  if (!half_since_) {
    half_since_ = owner_.now();
  }
  if (!warned_ && stays_crowded()) {
    warned_ = true;
    ++ring_look_.overloads;
    if (const auto& told = owner_.calls().on_overload) {
      handle me = owner_.self();
      const overload_warning warning{used, size, ring_look_.oldest_age, copies_open_};
      owner_.run([&] { told(me, warning); });
    }
  }
}

base::nanoseconds pump::nothing_returned_for() const noexcept {
  if (owner_.core().workers() != nullptr) {
    return window_.open() == 0 ? base::nanoseconds(0) : owner_.now() - moved_;
  }
  return leases_.any_in_ring() ? owner_.now() - leases_.oldest()->since : base::nanoseconds(0);
}

bool pump::stays_crowded() const noexcept { return half_since_ && owner_.now() - *half_since_ >= look_interval; }

void pump::relieve() {
  if (owner_.ended() || !stuck_ || !stays_crowded()) {
    return;
  }
  auto& ring = owner_.session().connection()->events();
  if (ring.used_bytes() < ring.capacity_bytes() / 4 * 3) {
    return;
  }
  switch (owner_.options().when_overloaded) {
    case overload::hold: return;
    case overload::disconnect:
      owner_.close_now(
          error(errc::overloaded, fmt::format("its callbacks have fallen behind: {} of {} bytes of its ring wait, nothing has "
                                              "gone back for {} ms, and when_overloaded is disconnect",
                                              ring.used_bytes(), ring.capacity_bytes(),
                                              std::chrono::duration_cast<std::chrono::milliseconds>(nothing_returned_for()).count())));
      return;
    case overload::copy_out: copy_out(); return;
  }
}

/// Null: the handle's limit, or memory, is used up.
std::byte* pump::copy_of(const std::byte* bytes, std::size_t size) {
  const std::size_t capacity = dispatch::copy_capacity(size);
  if (copies_open_ + capacity > owner_.options().copy_out_bytes_max) {
    return nullptr;
  }
  std::byte* to = nullptr;
  try {
    to = owner_.core().copies().take(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  std::memcpy(to, bytes, size);
  copies_open_ += capacity;
  ++copied_out_;
  copied_out_bytes_ += size;
  return to;
}

void pump::give_copy(std::byte* copy, std::uint32_t capacity) {
  copies_open_ -= capacity;
  owner_.core().copies().give(copy, capacity);
}

/// A message on its way to a worker, in the queue or in held_.
void pump::copy_item(dispatch::work_item& item) {
  if (item.copy_size != 0) {
    return;
  }
  if (std::byte* const to = copy_of(item.data, item.size)) {
    window_.done(item.lease, 1);
    item.data = item.copy = to;
    item.copy_size = static_cast<std::uint32_t>(dispatch::copy_capacity(item.size));
  }
}

void pump::copy_event(taken& one) {
  if (one.copy != nullptr) {
    return;
  }
  if (std::byte* const to = copy_of(one.frame.data, one.frame.size)) {
    window_.done(one.lease, 1);
    one.frame.data = one.copy = to;
  }
}

void pump::copy_out() {
  auto& ring = owner_.session().connection()->events();
  auto& crew = *owner_.core().workers();
  leases_.copy_out(owner_.core().copies(), base::time_point::max(), [this](std::uint64_t chunk) { freed(chunk); });
  if (messages_open_ - copies_with_workers_ > uncopyable_) {
    for (std::uint32_t w = 0; w < crew.workers(); ++w) {
      crew.edit_unclaimed(w, [this](dispatch::work_item& item) {
        if (item.to == this && item.copy_size == 0) {
          copy_item(item);
          copies_with_workers_ += item.copy_size != 0 ? 1U : 0U;
        }
      });
    }
    uncopyable_ = messages_open_ - copies_with_workers_;  // begun with, or beyond the limit: no use in looking again before some are done
  }
  if (held_) {
    copy_item(held_->item);
  }
  if (fence_) {
    copy_event(*fence_);
  }
  while (window_.open() == 0 && (ring.ready() != 0 || ring.collect() != 0)) {
    taken one;
    if (ring.next(one.frame) != ipc::look::frame) {
      owner_.lose(ring.fault());
      return;
    }
    one.lease = window_.lease();
    copy_event(one);
    spill_.push_back(one);
  }
  owner_.session().connection()->read_doorbells_if_due();
  reclaim_done(ring);
}

void pump::reclaim_done(ipc::ring_reader& ring) {
  const std::uint32_t chunks = window_.take();
  if (chunks != 0) {
    moved_ = owner_.now();
  }
  ring.reclaim(chunks);
}

void pump::look_again() {
  tend_leases();
  mind_returns();
  if (stuck_ && !owner_.ended()) {
    look_at_ring();
    relieve();
    if (!owner_.ended()) {
      static_cast<void>(poke_if_drained(owner_.session().connection()->events()));
    }
  }
}

void pump::drop_copies() {
  const auto drop = [this](std::byte* copy, std::size_t size) {
    if (copy != nullptr) {
      give_copy(copy, static_cast<std::uint32_t>(dispatch::copy_capacity(size)));
    }
  };
  for (const taken& one : std::exchange(spill_, {})) {
    drop(one.copy, one.frame.size);
  }
  if (const auto one = std::exchange(fence_, std::nullopt)) {
    drop(one->copy, one->frame.size);
  }
  if (const auto one = std::exchange(held_, std::nullopt); one && one->item.copy_size != 0) {
    drop(one->item.copy, one->item.copy_size);
  }
}

}  // namespace cpgring::runtime
