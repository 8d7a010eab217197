// Puts messages that travel as fragments together again, one at a time for each sender, within bounds.
//
// A sender's `first` drops what it had unfinished; `last` completes; a sender that leaves aborts. Announced sizes are foreign bytes: memory
// grows with what has arrived, never with what was announced. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include <cpgring/error.hpp>
#include <cpgring/event.hpp>

#include "cpg/codec.hpp"

namespace cpgring::cpg {

class fragment_assembler {
 public:
  /// `message_max`: the largest message put together; twice that many bytes are held for all senders at once.
  explicit fragment_assembler(std::size_t message_max) noexcept : message_max_(message_max) {}

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
    /// An earlier (first twice) or this message was given up.
    std::optional<aborted> given_up;
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
  };
  static std::uint64_t key(std::uint32_t node, std::uint32_t pid) noexcept { return std::uint64_t{node} << 32 | pid; }
  std::optional<aborted> give_up(std::uint64_t sender, error cause);

  std::size_t message_max_;
  std::size_t held_ = 0;
  std::unordered_map<std::uint64_t, assembly> open_;
};

}  // namespace cpgring::cpg
