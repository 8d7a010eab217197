// What `cpgring load` sent, and whether it arrived: once, in order, intact.
//
// Message k goes to handle k % handles, as number k / handles of that handle. Each carries its handle, its number, the time at which it
// ought to have been sent, and a pattern that follows from these, so that a wrong byte anywhere is found. I1: a corrupted message counts as
// corrupted and as lost, and changes nothing else. I2: delivered + lost = sent, when nothing is duplicated or made up.
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
  /// Bytes of a payload that carry what is checked; a message cannot be smaller.
  static constexpr std::size_t payload_min = 32;

  struct totals {
    std::uint64_t delivered = 0;     ///< distinct and intact
    std::uint64_t duplicated = 0;    ///< arrivals of what had arrived
    std::uint64_t out_of_order = 0;  ///< arrived behind a later one of the same handle
    std::uint64_t corrupted = 0;     ///< wrong size, wrong bytes, or of no message of this run
  };

  /// `threads`: how many will call arrived() at a time; with one nothing is locked.
  ledger(std::uint32_t handles, std::uint64_t messages, std::size_t size, std::uint32_t threads = 1);

  [[nodiscard]] std::uint32_t handle_of(std::uint64_t message) const noexcept {
    return static_cast<std::uint32_t>(message % arrivals_.size());
  }
  /// Fills `payload` for message k; `intended` in nanoseconds of any steady clock.
  void write(std::span<std::byte> payload, std::uint64_t message, std::int64_t intended) const noexcept;
  /// A message came on `handle`; `now` on the clock that write() was given.
  void arrived(std::uint32_t handle, std::span<const std::byte> payload, std::int64_t now);

  [[nodiscard]] totals so_far() const;
  /// Is it what write() makes, for this handle?
  [[nodiscard]] bool intact(std::uint32_t handle, std::span<const std::byte> payload) const noexcept;
  /// Bytes that were right at arrival and no longer are.
  void count_corrupted();
  /// Of the first `sent` messages, how many have not arrived intact.
  [[nodiscard]] std::uint64_t lost(std::uint64_t sent) const;
  /// From intended time to arrival, nanoseconds.
  [[nodiscard]] histogram latency() const;

 private:
  struct row {
    mutable std::mutex lock;
    std::uint64_t next = 0;           // all below have arrived, but for `missing`
    std::set<std::uint64_t> missing;  // passed over; empty as long as order is kept
    std::uint64_t planned = 0;
  };

  struct share {  // of some threads
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
