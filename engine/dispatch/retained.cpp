#include "dispatch/retained.hpp"

#include <cstring>
#include <utility>

#include "dispatch/copy_pool.hpp"

namespace cpgring::dispatch {
namespace {

void push(std::atomic<retained*>& list, retained& one) noexcept {
  one.next = list.load(std::memory_order_relaxed);
  // SYNC retained_lists: whoever takes the list sees what was done to the blocks in it. Nothing is ever taken off but the whole list, so a
  // head that looks the same is the same.
  while (!list.compare_exchange_weak(one.next, &one, std::memory_order_release, std::memory_order_relaxed)) {
  }
}

}  // namespace

void retained::unpin() noexcept {
  // SYNC retained_copy: all reading comes before the reactor may give the chunk up, or the block is used again.
  const std::uint32_t before = state.fetch_sub(pin_one, std::memory_order_acq_rel);
  if ((before & pins) == 1 && (before & dropped) != 0) {
    home->give_back(*this);
  }
}

void retained::drop() noexcept {
  // SYNC retained_copy: as above.
  const std::uint32_t before = state.fetch_or(dropped, std::memory_order_acq_rel);
  if ((before & pins) == 0) {
    home->give_back(*this);
  }
}

bool retained::move_to(std::byte* to) noexcept {
  // SYNC retained_copy: with no pin left, all that readers did lies behind this.
  std::uint32_t seen = state.load(std::memory_order_acquire);
  if ((seen & (pins | copied | dropped)) != 0) {
    return false;
  }
  std::memcpy(to, in_ring(), size);
  copy() = to;
  // SYNC retained_copy: shows the copy with the flag; fails if there is a pin by now, or the lease is gone.
  return state.compare_exchange_strong(seen, seen | copied, std::memory_order_acq_rel, std::memory_order_relaxed);
}

lease_desk::~lease_desk() {
  for (retained* one = take_returned(); one != nullptr;) {
    retained* const next = one->next;
    if (one->is_copied()) {
      delete_copy(one->copy());
    }
    delete one;
    one = next;
  }
  delete_spare(spare_.load(std::memory_order_relaxed));
}

retained* lease_desk::issue(const std::shared_ptr<lease_desk>& desk, std::size_t size, retained*& spare) {
  // One is always let through, so that the limit can't forbid what large_message_max allows.
  const std::size_t charge = retained::charge(size), before = desk->bytes_.fetch_add(charge, std::memory_order_relaxed);
  if (before != 0 && before + charge > desk->bytes_max_) {
    desk->bytes_.fetch_sub(charge, std::memory_order_relaxed);
    return nullptr;
  }
  if (spare == nullptr) {
    // SYNC retained_lists: the reactor is done with them.
    spare = desk->spare_.exchange(nullptr, std::memory_order_acquire);
  }
  retained* one = spare;
  if (one != nullptr) {
    spare = one->next;
    one->state.store(0, std::memory_order_relaxed);
    one->known = one->returned = false;
    one->in_ring() = one->copy() = nullptr;
    one->next = nullptr;
  } else {
    one = new retained;
  }
  desk->count_.fetch_add(1, std::memory_order_relaxed);
  one->size = size;
  one->home = desk;
  return one;
}

void lease_desk::give_back(retained& one) noexcept {
  bytes_.fetch_sub(retained::charge(one.size), std::memory_order_relaxed);
  count_.fetch_sub(1, std::memory_order_relaxed);
  // With the last block the desk goes too, and frees what was given back.
  const std::shared_ptr<lease_desk> here = std::move(one.home);
  push(returned_, one);
}

retained* lease_desk::take_returned() noexcept {
  // SYNC retained_lists: all use of the blocks by lease and pins lies behind this.
  return returned_.exchange(nullptr, std::memory_order_acquire);
}

void lease_desk::recycle(retained& one) noexcept { push(spare_, one); }

void delete_spare(retained* list) noexcept {
  while (list != nullptr) {
    delete std::exchange(list, list->next);
  }
}

}  // namespace cpgring::dispatch
