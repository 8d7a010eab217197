// lease: one message kept readable after its callback, for as long as it is wanted, on any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace cpgring {

namespace dispatch {
struct retained;
}

/// The bytes of a leased message, held where they are while this lives. Keep it short: pinned bytes that still lie in the ring keep the
/// service from writing there, and once the ring is full everything behind waits. May outlive its lease. Movable, for one thread at a time.
class pinned {
 public:
  pinned(pinned&& other) noexcept : block_(std::exchange(other.block_, nullptr)), bytes_(std::exchange(other.bytes_, {})) {}
  pinned& operator=(pinned&& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~pinned();

  /// At least 4-byte aligned. Other pins of the same message may be reading the same bytes.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::string_view text() const noexcept { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }

 private:
  friend class lease;
  pinned(dispatch::retained* block, std::span<const std::byte> bytes) noexcept : block_(block), bytes_(bytes) {}
  dispatch::retained* block_;
  std::span<const std::byte> bytes_;
};

/// What message::retain() gives. The bytes stay in the ring as long as that does no harm: once more than half of the ring is in use, or
/// after handle_options::lease_age_max, or when the handle or the engine ends, they are copied out, and the lease goes on with the copy;
/// who holds it need not know. Outlives handle and engine. Movable; const calls from several threads at a time, the others from one.
/// Releasing takes no lock and makes no system call.
class lease {
 public:
  lease() noexcept = default;  ///< holds nothing
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
  /// Lets the message go. Pins of it stay valid.
  void release() noexcept;
  /// Access to the bytes. Of an empty lease: no bytes.
  [[nodiscard]] pinned pin() const noexcept;

  // As of message; 0 for an empty lease.
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] std::uint32_t sender_node() const noexcept;
  [[nodiscard]] std::uint32_t sender_pid() const noexcept;
  [[nodiscard]] std::uint64_t sequence() const noexcept;
  /// The bytes still lie where the service wrote them. May be old by the time it is read.
  [[nodiscard]] bool in_ring() const noexcept;

 private:
  friend class message;
  explicit lease(dispatch::retained* block) noexcept : block_(block) {}
  dispatch::retained* block_ = nullptr;
};

}  // namespace cpgring
