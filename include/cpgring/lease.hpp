// lease: keeps one message readable after its callback, on any thread.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace cpgring {

namespace leasing {
struct lease_block;
}

/// Access to the bytes of a leased message, which do not move while a pin exists. Keep a pin short: bytes
/// that are pinned in the ring block the service once the ring is full. May outlive its lease. Movable; one
/// thread at a time.
class pinned {
 public:
  pinned(pinned&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)), bytes_(std::exchange(other.bytes_, {})) {}
  pinned& operator=(pinned&& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~pinned();

  /// At least 4-byte aligned. Other pins of the same message may read the same bytes at the same time.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  friend class lease;
  pinned(leasing::lease_block* block, std::span<const std::byte> bytes) noexcept
      : block_(block), bytes_(bytes) {}
  leasing::lease_block* block_;
  std::span<const std::byte> bytes_;
};

/// The result of message::retain().
/// - The bytes stay in the ring until more than half of the ring is in use, the lease is older than
///   handle_options::lease_age_max, or the handle or the engine ends. Then they are copied out, and the lease
///   refers to the copy.
/// - A lease may outlive its handle and its engine.
/// - Movable. Const calls may be made by several threads at a time, other calls by one.
/// - Releasing takes no lock and makes no system call.
class lease {
 public:
  lease() noexcept = default;  ///< empty
  lease(lease&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  lease& operator=(lease&& other) noexcept {
    if (this != &other) {
      release();
      block_ = std::exchange(other.block_, nullptr);
    }
    return *this;
  }
  ~lease() { release(); }

  explicit operator bool() const noexcept { return block_ != nullptr; }
  /// Releases the message. Pins of it stay valid.
  void release() noexcept;
  /// Pins the bytes. A pin of an empty lease has no bytes.
  [[nodiscard]] pinned pin() const noexcept;
  /// Calls `use` with the bytes, pinned during the call, and returns its result:
  /// `lease.read([](std::span<const std::byte> bytes) {...})`.
  template <class Use>
  decltype(auto) read(Use&& use) const {
    const pinned here = pin();
    return std::forward<Use>(use)(here.bytes());
  }

  // The same values as those of the message; 0 for an empty lease.
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] std::uint32_t sender_node() const noexcept;
  [[nodiscard]] std::uint32_t sender_pid() const noexcept;
  [[nodiscard]] std::uint64_t sequence() const noexcept;
  /// True while the bytes are in the ring. May be out of date when it is read.
  [[nodiscard]] bool in_ring() const noexcept;

 private:
  friend class message;
  explicit lease(leasing::lease_block* block) noexcept : block_(block) {}
  leasing::lease_block* block_ = nullptr;
};

}  // namespace cpgring

#endif
