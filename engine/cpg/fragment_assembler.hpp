// Puts messages that travel as fragments together again, one at a time for each sender, within bounds.
//
// A sender's `first` drops what it had unfinished; `last` completes; a sender that leaves aborts. Announced sizes are foreign bytes: memory
// grows with what has arrived, never with what was announced, and an unfinished message costs one entry of a table whose size is limited.
// Beyond a limit one of them is given up: one whose sender has stood still for long, else the one that a fragment has just come for. So a
// crowd of honest senders loses those that are too many, and what somebody left unfinished for good keeps nobody out. One thread.
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
  /// Messages unfinished at a time.
  static constexpr std::size_t open_max = large_messages_open_max;
  /// A sender stands still for long once so many fragments have come since its last one.
  static constexpr std::uint64_t still_after = 4 * open_max;

  /// `message_max`: the largest message put together. `bytes_max`: held for all senders at once; at least message_max.
  fragment_assembler(std::size_t message_max, std::size_t bytes_max) noexcept : message_max_(message_max), bytes_max_(bytes_max) {}

  struct aborted {
    std::uint32_t node = 0;
    std::uint32_t pid = 0;
    std::uint64_t received = 0;
    std::uint64_t announced = 0;
    error cause;
  };
  struct outcome {
    /// Complete. The receiver's from here on: thousands of handles must not each keep the largest message that they ever got.
    std::optional<std::vector<std::byte>> message;
    /// What was given up over it: an earlier message of its sender (`first` twice), others' that stood still, or itself.
    std::vector<aborted> given_up;
  };

  outcome push(const fragment& piece);
  /// The sender is gone.
  std::optional<aborted> left(std::uint32_t node, std::uint32_t pid);
  [[nodiscard]] std::size_t bytes_held() const noexcept { return held_; }
  [[nodiscard]] std::size_t open() const noexcept { return open_.size(); }

 private:
  struct assembly {
    std::vector<std::byte> bytes;
    std::uint32_t announced = 0;
    std::uint64_t fed = 0;  // the number of its last fragment
  };
  using table = std::unordered_map<std::uint64_t, assembly>;
  static std::uint64_t key(std::uint32_t node, std::uint32_t pid) noexcept { return std::uint64_t{node} << 32 | pid; }
  aborted give_up(table::iterator which, error cause);
  bool give_up_one_that_stands_still(const error& cause, outcome& result);
  bool begin(const fragment& piece, outcome& result);
  bool make_room(assembly& a, std::size_t bytes, outcome& result);

  std::size_t message_max_;
  std::size_t bytes_max_;
  std::size_t held_ = 0;      // capacities of all that is open
  std::uint64_t pushed_ = 0;  // fragments
  table open_;
};

}  // namespace cpgring::cpg
