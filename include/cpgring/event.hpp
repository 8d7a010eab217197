// What a callback can be given: a message, a view (view.hpp), a change of state, word of an aborted message.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <cpgring/error.hpp>
#include <cpgring/lease.hpp>
#include <cpgring/view.hpp>

namespace cpgring {

namespace dispatch {
class lessor;
}
namespace runtime {
class pump;
}

/// One message, in place: its bytes lie where the service wrote them (messages that travelled as fragments: in one
/// buffer). Valid during the callback only. Not copyable: retain() it, or copy the bytes, if they must outlive the callback.
class message {
 public:
  message(const message&) = delete;
  message& operator=(const message&) = delete;

  /// The payload, 0 bytes or more. Writable on purpose: programs byte-swap in place; nobody else sees it.
  /// Only 4-byte aligned, because libqb's ring steps in 4-byte words: use memcpy for larger fields, or aligned().
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  /// The payload as characters.
  [[nodiscard]] std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }
  /// Who multicast it, as CPG names processes.
  [[nodiscard]] std::uint32_t sender_node() const noexcept { return node_; }
  [[nodiscard]] std::uint32_t sender_pid() const noexcept { return pid_; }
  /// The group, as joined; may contain NUL bytes.
  [[nodiscard]] std::string_view group() const noexcept { return group_; }
  /// 1, 2, 3 ... over the messages delivered on this handle since it last connected: from 1 again behind on_restored.
  [[nodiscard]] std::uint64_t sequence() const noexcept { return sequence_; }
  /// It was larger than the sender's atomic limit and came in fragments (see options.hpp, large_message_max).
  [[nodiscard]] bool fragmented() const noexcept { return fragmented_; }

  /// Keeps it readable after the callback, on any thread: see lease. The first lease of a message costs no copy; further ones, and those of
  /// fragmented messages, copy at once. Inside on_message only. Errors: overloaded (handle_options::retained_bytes_max), wrong_state.
  [[nodiscard]] result<lease> retain() const;

  struct aligned_bytes {
    std::span<std::byte> bytes;
    bool copied;  ///< they lie elsewhere: what is written there does not show in message::bytes()
  };
  /// The payload at an alignment of 1, 2, 4 .. 4096 bytes: in place where it happens to lie so, else a copy, valid until the callback ends
  /// or aligned() is called again. Inside on_message only. Errors: invalid_param, wrong_state.
  [[nodiscard]] result<aligned_bytes> aligned(std::size_t alignment) const;

 private:
  friend class runtime::pump;
  message() = default;

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string_view group_;
  std::uint64_t sequence_ = 0;
  std::uint32_t node_ = 0;
  std::uint32_t pid_ = 0;
  bool fragmented_ = false;
  bool in_ring_ = true;
  dispatch::lessor* lessor_ = nullptr;
};

/// States of a handle, in the order of a normal life.
enum class handle_state {
  connecting,  ///< handshake under way
  ready,       ///< connected, in no group
  joining,     ///< join asked for, own view not yet seen
  joined,      ///< own view seen: multicast works, messages arrive
  leaving,     ///< leave asked for, own leave view not yet seen
  left,        ///< has left its group; spent: a stock service never lets this connection join again. Open a new handle
  lost,        ///< the service hung up, refused, or sent bytes that break the protocol; the error says which
  closed,      ///< close() was called, or a callback threw (then with an error)
};
std::string_view to_string(handle_state state) noexcept;

/// A handle went from one state to another. `cause` is null unless something went wrong; valid during the callback only.
/// `lost` comes after everything that was still in the event ring has been delivered; nothing comes after `lost` or `closed`.
struct state_change {
  handle_state from = handle_state::connecting;
  handle_state to = handle_state::connecting;
  const error* cause = nullptr;
};

/// The service answers again; see supervision_options.
struct restoration {
  std::uint32_t attempts = 0;        ///< to connect, this one included
  std::chrono::nanoseconds away{0};  ///< since the loss was noticed
};

/// How far a handle has fallen behind.
struct overload_warning {
  std::uint32_t ring_used = 0;             ///< bytes of the event ring
  std::uint32_t ring_size = 0;             ///< of how many
  std::chrono::nanoseconds oldest_age{0};  ///< for so long nothing has gone back to the ring
  std::size_t copied_out = 0;              ///< bytes that wait in copies
};

/// A fragmented message that will not be completed.
struct aborted_message {
  std::uint32_t sender_node = 0;
  std::uint32_t sender_pid = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_announced = 0;
  const error* cause = nullptr;  ///< why; valid during the callback only
};

/// What became of a multicast that was to be told of.
enum class multicast_fate {
  confirmed,  ///< it has come back: every member that stays in the group delivers it, at this place in the order
  not_sent,   ///< the service did not get it, or not all of it: nobody delivers it, sending it again is safe
  unknown,    ///< the service got it, or may have; but the handle did not see it come back
};
std::string_view to_string(multicast_fate fate) noexcept;

/// See handle::multicast_confirmed().
struct multicast_outcome {
  multicast_fate fate = multicast_fate::not_sent;
  std::uint64_t sequence = 0;    ///< confirmed: message::sequence() that it has on this handle
  const error* cause = nullptr;  ///< else: timeout, service_lost, not_joined, closed ...; valid during the call only
  explicit operator bool() const noexcept { return fate == multicast_fate::confirmed; }
};

}  // namespace cpgring
