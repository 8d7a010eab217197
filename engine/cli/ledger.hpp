// Checks that what `cpgring load` sends arrives once, in order and intact.
//
// Message k goes to handle k % handles, as number k / handles of that handle. Each one carries its handle,
// its number, its intended send time, and a pattern that follows from these, so that any wrong byte is
// detected. I1: a corrupted message counts as corrupted and as lost, and changes nothing else. I2: delivered
// + lost = sent, if nothing is duplicated or made up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include <cpgring/histogram.hpp>

namespace cpgring::cli {

class ledger {
 public:
  /// Size of the checked header of a payload; no message can be smaller.
  static constexpr std::size_t payload_min = 32;

  struct totals {
    std::uint64_t delivered = 0;     ///< distinct and intact
    std::uint64_t duplicated = 0;    ///< arrivals of messages that had already arrived
    std::uint64_t out_of_order = 0;  ///< arrived after a later one of the same handle
    std::uint64_t corrupted = 0;     ///< wrong size, wrong bytes, or not a message of this run
  };

  /// `threads`: how many threads may call arrived() concurrently. With one, nothing is locked.
  ledger(std::uint32_t handles, std::uint64_t messages, std::size_t size, std::uint32_t threads = 1);

  [[nodiscard]] std::uint32_t handle_of(std::uint64_t message) const noexcept {
    return static_cast<std::uint32_t>(message % arrivals_.size());
  }
  /// Fills `payload` for message number `message`. `intended`: nanoseconds of any steady clock.
  void write(std::span<std::byte> payload, std::uint64_t message, std::int64_t intended) const noexcept;
  /// Records a message that arrived on `handle`. `now`: on the clock of write().
  void arrived(std::uint32_t handle, std::span<const std::byte> payload, std::int64_t now);

  [[nodiscard]] totals so_far() const;
  /// True: `payload` is what write() makes for this handle.
  [[nodiscard]] bool intact(std::uint32_t handle, std::span<const std::byte> payload) const noexcept;
  /// Counts a message that was intact when it arrived and no longer is.
  void count_corrupted();
  /// How many of the first `sent` messages have not arrived intact.
  [[nodiscard]] std::uint64_t lost(std::uint64_t sent) const;
  /// From the intended send time to the arrival, in nanoseconds.
  [[nodiscard]] histogram latency() const;

 private:
  struct row {
    mutable std::mutex lock;
    std::uint64_t next = 0;           // all lower numbers have arrived, except `missing`
    std::set<std::uint64_t> missing;  // numbers that were skipped; empty while order is kept
    std::uint64_t planned = 0;
  };

  struct share {  // the counts of some threads
    mutable std::mutex lock;
    totals counts;
    histogram latency;
  };
  [[nodiscard]] std::unique_lock<std::mutex> locked(std::mutex& one) const {
    return shared_ ? std::unique_lock(one) : std::unique_lock(one, std::defer_lock);
  }
  share& mine();

  std::vector<row> arrivals_;
  std::size_t size_;
  bool shared_;
  std::vector<std::unique_ptr<share>> shares_;
};

}  // namespace cpgring::cli
