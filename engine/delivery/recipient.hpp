// The handle that a pump and its lanes serve, and the writer of the messages that it gets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include <cpgring/event.hpp>
#include <cpgring/handle.hpp>
#include <cpgring/options.hpp>

#include "delivery/handle_counters.hpp"
#include "lease/lease_factory.hpp"

namespace cpgring::delivery {

struct recipient {
  const callbacks& calls;
  const handle_options& options;
  handle_counters& counters;
  std::weak_ptr<runtime::handle_core> owner;

  /// The handle object that its callbacks get.
  [[nodiscard]] handle self() const noexcept { return handle(owner.lock()); }
};

/// Creates messages and sets their fields; no other class may.
class message_writer {
 public:
  /// `leases`: null if the message can't be retained.
  message_writer(std::string_view group, leasing::lease_factory* leases) noexcept {
    message_.group_ = group;
    message_.lease_factory_ = leases;
  }
  [[nodiscard]] const message& get() const noexcept { return message_; }
  void set(std::byte* data, std::size_t size, std::uint32_t node, std::uint32_t pid,
           std::uint64_t sequence) noexcept {
    message_.data_ = data;
    message_.size_ = size;
    message_.node_ = node;
    message_.pid_ = pid;
    message_.sequence_ = sequence;
  }
  /// The bytes of the message lie in the ring; true unless set otherwise.
  void set_in_ring(bool yes) noexcept { message_.in_ring_ = yes; }
  /// The message came in fragments, and lies in one buffer outside of the ring.
  void set_fragmented() noexcept {
    message_.fragmented_ = true;
    message_.in_ring_ = false;
  }

 private:
  message message_;
};

}  // namespace cpgring::delivery
