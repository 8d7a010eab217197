// The public functions of leases. Thin, so that the ABI does not depend on lease blocks and pools.
#include <cpgring/lease.hpp>

#include <cpgring/event.hpp>

#include "lease/lease_block.hpp"
#include "lease/lease_factory.hpp"

namespace cpgring {

pinned::~pinned() {
  if (block_ != nullptr) {
    block_->unpin();
  }
}

void lease::release() noexcept {
  if (auto* one = std::exchange(block_, nullptr)) {
    one->drop();
  }
}

pinned lease::pin() const noexcept {
  return block_ == nullptr ? pinned(nullptr, {}) : pinned(block_, {block_->pin(), block_->size});
}

std::size_t lease::size() const noexcept { return block_ == nullptr ? 0 : block_->size; }
std::uint32_t lease::sender_node() const noexcept { return block_ == nullptr ? 0 : block_->node; }
std::uint32_t lease::sender_pid() const noexcept { return block_ == nullptr ? 0 : block_->pid; }
std::uint64_t lease::sequence() const noexcept { return block_ == nullptr ? 0 : block_->sequence; }
bool lease::in_ring() const noexcept { return block_ != nullptr && !block_->is_copied(); }

result<lease> message::retain() const {
  if (lease_factory_ == nullptr) {
    return fail(errc::wrong_state, "retain() may only be called inside on_message");
  }
  auto taken = lease_factory_->retain({data_, size_, sequence_, node_, pid_, in_ring_});
  if (!taken) {
    return fail(taken.error());
  }
  return lease(*taken);
}

result<message::aligned_bytes> message::aligned(std::size_t alignment) const {
  if (lease_factory_ == nullptr) {
    return fail(errc::wrong_state, "aligned() may only be called inside on_message");
  }
  auto there = lease_factory_->aligned(mutable_bytes(), alignment);
  if (!there) {
    return fail(there.error());
  }
  return aligned_bytes{there->first, there->second};
}

}  // namespace cpgring
