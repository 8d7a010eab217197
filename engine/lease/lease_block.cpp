#include "lease/lease_block.hpp"

#include <cstring>
#include <utility>

#include "lease/copy_pool.hpp"

namespace cpgring::leasing {
namespace {

void push(std::atomic<lease_block*>& list, lease_block& one) noexcept {
  one.next = list.load(std::memory_order_relaxed);
  // SYNC lease_lists: a thread that takes the list sees everything done to its blocks. Only the whole list is
  // ever removed, so an equal head means an unchanged list (no ABA problem).
  while (!list.compare_exchange_weak(one.next, &one, std::memory_order_release, std::memory_order_relaxed)) {
  }
}

}  // namespace

void lease_block::unpin() noexcept {
  // SYNC lease_copy: all reads come before the reactor may give up the chunk, or the block is used again.
  const std::uint32_t before = state.fetch_sub(pin_one, std::memory_order_acq_rel);
  if ((before & pins) == 1 && (before & dropped) != 0) {
    home->give_back(*this);
  }
}

void lease_block::drop() noexcept {
  // SYNC lease_copy: as above.
  const std::uint32_t before = state.fetch_or(dropped, std::memory_order_acq_rel);
  if ((before & pins) == 0) {
    home->give_back(*this);
  }
}

bool lease_block::move_to(std::byte* to) noexcept {
  // SYNC lease_copy: if there is no pin, all reads of earlier pins come before this.
  std::uint32_t seen = state.load(std::memory_order_acquire);
  if ((seen & (pins | copied | dropped)) != 0) {
    return false;
  }
  std::memcpy(to, in_ring(), size);
  copy() = to;
  // SYNC lease_copy: publishes the copy with the flag. Fails if a pin exists by now, or the lease was
  // dropped.
  return state.compare_exchange_strong(seen, seen | copied, std::memory_order_acq_rel,
                                       std::memory_order_relaxed);
}

lease_pool::~lease_pool() {
  for (lease_block* one = take_returned(); one != nullptr;) {
    lease_block* const next = one->next;
    if (one->is_copied()) {
      delete_copy(one->copy());
    }
    delete one;
    one = next;
  }
  delete_spare(spare_.load(std::memory_order_relaxed));
}

lease_block* lease_pool::issue(const std::shared_ptr<lease_pool>& pool, std::size_t size,
                               lease_block*& spare) {
  // The first lease is always admitted, so that this limit cannot forbid a message that large_message_max
  // allows.
  const std::size_t charge = lease_block::charge(size),
                    before = pool->bytes_.fetch_add(charge, std::memory_order_relaxed);
  if (before != 0 && before + charge > pool->bytes_max_) {
    pool->bytes_.fetch_sub(charge, std::memory_order_relaxed);
    return nullptr;
  }
  if (spare == nullptr) {
    // SYNC lease_lists: the reactor has finished with these blocks.
    spare = pool->spare_.exchange(nullptr, std::memory_order_acquire);
  }
  lease_block* one = spare;
  if (one != nullptr) {
    spare = one->next;
    one->state.store(0, std::memory_order_relaxed);
    one->known = one->returned = false;
    one->in_ring() = one->copy() = nullptr;
    one->next = nullptr;
  } else {
    one = new lease_block;
  }
  pool->count_.fetch_add(1, std::memory_order_relaxed);
  one->size = size;
  one->home = pool;
  return one;
}

void lease_pool::give_back(lease_block& one) noexcept {
  bytes_.fetch_sub(lease_block::charge(one.size), std::memory_order_relaxed);
  count_.fetch_sub(1, std::memory_order_relaxed);
  // With its last block the pool is destroyed, and frees the blocks that were given back.
  const std::shared_ptr<lease_pool> here = std::move(one.home);
  push(returned_, one);
}

lease_block* lease_pool::take_returned() noexcept {
  // SYNC lease_lists: all use of the blocks by leases and pins comes before this.
  return returned_.exchange(nullptr, std::memory_order_acquire);
}

void lease_pool::recycle(lease_block& one) noexcept { push(spare_, one); }

void delete_spare(lease_block* list) noexcept {
  while (list != nullptr) {
    delete std::exchange(list, list->next);
  }
}

}  // namespace cpgring::leasing
