// Arguments of callbacks: messages, changes of state, warnings, outcomes. Views are in view.hpp.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <cpgring/function.hpp>
#include <cpgring/lease.hpp>
#include <cpgring/result.hpp>
#include <cpgring/view.hpp>

namespace cpgring {

namespace leasing {
class lease_factory;
}
namespace delivery {
class message_writer;
}

/// One message, in place: its bytes lie in the ring where the service wrote them, or in one buffer if the
/// message travelled as fragments. Valid during the callback only. Not copyable: to keep a message, call
/// retain() or copy its bytes.
class message {
 public:
  message(const message&) = delete;
  message& operator=(const message&) = delete;

  /// The payload, 0 bytes or more. The alignment is 4 bytes, because libqb's ring is addressed in 4-byte
  /// words; read larger fields with memcpy, or use aligned().
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  /// The same bytes, writable, for programs that swap bytes in place. No other process sees the change.
  [[nodiscard]] std::span<std::byte> mutable_bytes() const noexcept { return {data_, size_}; }
  /// The payload as characters.
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(data_), size_};
  }
  /// The sender, as CPG names processes.
  [[nodiscard]] std::uint32_t sender_node() const noexcept { return node_; }
  [[nodiscard]] std::uint32_t sender_pid() const noexcept { return pid_; }
  /// The group, as joined; may contain NUL bytes, is not NUL-terminated.
  [[nodiscard]] std::string_view group() const noexcept { return group_; }
  /// 1, 2, 3 ... over the messages of this handle's present connection. After on_restored it begins at 1
  /// again.
  [[nodiscard]] std::uint64_t sequence() const noexcept { return sequence_; }
  /// True if the message was above the sender's atomic limit and came in fragments; see
  /// handle_options::large_message_max.
  [[nodiscard]] bool fragmented() const noexcept { return fragmented_; }

  /// Keeps the message readable after the callback, on any thread; see lease. The first lease of a message in
  /// the ring costs no copy; further leases, and leases of messages that are not in the ring, copy at once.
  /// Inside on_message only. Errors: overloaded (handle_options::retained_bytes_max), wrong_state.
  [[nodiscard]] result<lease> retain() const;

  struct aligned_bytes {
    std::span<std::byte> bytes;
    bool copied;  ///< true: `bytes` is a copy, and writing to it does not change message::bytes()
  };
  /// The payload at an alignment of 1, 2, 4 .. 4096 bytes: in place if it is aligned so, else a copy that is
  /// valid until the callback ends or aligned() is called again. Inside on_message only. Errors:
  /// invalid_param, wrong_state.
  [[nodiscard]] result<aligned_bytes> aligned(std::size_t alignment) const;

 private:
  friend class delivery::message_writer;
  message() = default;

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string_view group_;
  std::uint64_t sequence_ = 0;
  std::uint32_t node_ = 0;
  std::uint32_t pid_ = 0;
  bool fragmented_ = false;
  bool in_ring_ = true;
  leasing::lease_factory* lease_factory_ = nullptr;
};

/// States of a handle, in the order of a normal life.
enum class handle_state {
  connecting,  ///< the handshake is in progress
  ready,       ///< connected, in no group
  joining,     ///< join requested, own view not yet seen
  joined,      ///< own view seen: multicast works, messages arrive
  leaving,     ///< leave requested, own leave view not yet seen
  /// The handle has left its group. A stock service never lets this connection join again: open a new handle.
  left,
  lost,    ///< the service hung up, refused, or sent bytes that break the protocol; the error says which
  closed,  ///< close() was called, or a callback threw (then with an error)
};
std::string_view to_string(handle_state state) noexcept;

/// A change of state. `cause` is null unless something went wrong; valid during the callback only. `lost`
/// comes after all events that were in the event ring. No callback follows `closed`, nor `lost` on a handle
/// that does not connect again.
struct state_change {
  handle_state from = handle_state::connecting;
  handle_state to = handle_state::connecting;
  const error* cause = nullptr;
};

/// Arguments of callbacks::on_restored: how the connection came back; see supervision_options.
struct restoration {
  std::uint32_t attempts = 0;        ///< attempts to connect, the successful one included
  std::chrono::nanoseconds away{0};  ///< time since the loss was noticed
};

/// Arguments of callbacks::on_overload: how far the handle has fallen behind.
struct overload_warning {
  std::uint32_t ring_used = 0;             ///< bytes of the event ring in use
  std::uint32_t ring_size = 0;             ///< bytes of the event ring
  std::chrono::nanoseconds oldest_age{0};  ///< time since chunks were last given back to the ring
  std::size_t copied_out = 0;              ///< bytes of copies that wait for their callbacks
};

/// A fragmented message that will not be completed: one that is received, or, with the handle's own address
/// as sender, an own one that the service refused (`bytes_received` are then the bytes that were sent).
struct aborted_message {
  std::uint32_t sender_node = 0;
  std::uint32_t sender_pid = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_announced = 0;
  const error* cause = nullptr;  ///< the reason; valid during the callback only
};

/// The outcome of a confirmed multicast.
enum class multicast_fate {
  /// The message has come back: every member that stays in the group delivers it, at this place in the total
  /// order.
  confirmed,
  /// The service did not get the message, or not all of it: nobody delivers it, and sending it again is safe.
  not_sent,
  unknown,  ///< the service got the message or may have got it, but this handle did not see it come back
};
std::string_view to_string(multicast_fate fate) noexcept;

/// The result of handle::multicast_confirmed(), for its callback and from awaitable_multicast. May be kept.
struct multicast_outcome {
  multicast_fate fate = multicast_fate::not_sent;
  std::uint64_t sequence = 0;  ///< if confirmed: message::sequence() of the message on this handle
  std::optional<error> cause;  ///< otherwise: timeout, service_lost, not_joined, closed, stopped ...
  explicit operator bool() const noexcept { return fate == multicast_fate::confirmed; }
};

/// Receives the outcome of an accepted request. Called exactly once, where the handle's callbacks run. If the
/// engine ends first, engine::shut_down() or the engine's destructor calls it with errc::stopped, on its own
/// thread; so everything that it refers to must outlive the engine. Never called for a request that was
/// refused at once.
template <class T>
using completion = function<void(result<T>)>;
/// The same for multicast_confirmed(). The outcome is no result<T>, because `not_sent` and `unknown` differ
/// in whether the message may be sent again.
using confirmation = function<void(const multicast_outcome&)>;

}  // namespace cpgring

#endif
