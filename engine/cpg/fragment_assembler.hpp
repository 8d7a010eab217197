// Reassembles messages that travel as fragments, one at a time for each sender, within limits.
//
// A sender's `first` fragment drops its incomplete message; `last` completes the message; a sender that
// leaves aborts it. Announced sizes are foreign: memory grows with the bytes that have arrived, never with
// the announced size, and the number of incomplete messages is limited. Beyond a limit one message is
// dropped: that of a stalled sender if there is one, else the one whose fragment has just arrived. So of too
// many active senders only the excess ones lose messages, and abandoned messages block no others. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include <cpgring/error.hpp>
#include <cpgring/event.hpp>
#include <cpgring/options.hpp>

#include "cpg/codec.hpp"

namespace cpgring::cpg {

class fragment_assembler {
 public:
  /// Limit of incomplete messages.
  static constexpr std::size_t open_max = large_messages_open_max;
  /// A sender is stalled once this many fragments have arrived since its last one.
  static constexpr std::uint64_t stalled_after = 4 * open_max;

  /// `message_max`: the largest message that is reassembled. `bytes_max`: limit of the bytes held for all
  /// senders together; at least message_max.
  fragment_assembler(std::size_t message_max, std::size_t bytes_max) noexcept
      : message_max_(message_max), bytes_max_(bytes_max) {}

  struct aborted {
    std::uint32_t node = 0;
    std::uint32_t pid = 0;
    std::uint64_t received = 0;
    std::uint64_t announced = 0;
    error cause;
  };
  struct outcome {
    /// The complete message. The receiver takes the buffer over, so that thousands of handles do not each
    /// keep memory for the largest message that they ever received.
    std::optional<std::vector<std::byte>> message;
    /// Messages that were dropped because of the fragment: an earlier message of its sender (`first` twice),
    /// messages of stalled senders, or its own message.
    std::vector<aborted> given_up;
  };

  outcome push(const fragment& piece);
  /// The sender has left: drops its incomplete message, if there is one.
  std::optional<aborted> left(std::uint32_t node, std::uint32_t pid);
  [[nodiscard]] std::size_t bytes_held() const noexcept { return held_; }
  [[nodiscard]] std::size_t open() const noexcept { return open_.size(); }

 private:
  struct assembly {
    std::vector<std::byte> bytes;
    std::uint32_t announced = 0;
    std::uint64_t fed = 0;  // pushed_ at its last fragment
  };
  using table = std::unordered_map<std::uint64_t, assembly>;
  static std::uint64_t key(std::uint32_t node, std::uint32_t pid) noexcept {
    return std::uint64_t{node} << 32 | pid;
  }
  aborted give_up(table::iterator which, error cause);
  bool drop_stalled(const error& cause, outcome& result);
  bool begin(const fragment& piece, outcome& result);
  bool make_room(assembly& a, std::size_t bytes, outcome& result);

  std::size_t message_max_;
  std::size_t bytes_max_;
  std::size_t held_ = 0;      // sum of the capacities in open_
  std::uint64_t pushed_ = 0;  // fragments so far
  table open_;
};

}  // namespace cpgring::cpg
