// The multicasts of one handle that wait to be written or whose outcome is awaited.
//
// The queue belongs to the handle and outlives its connections. One multicaster at a time, that of the live
// connection, advances the entries: waiting -> (sending, in fragments ->) written -> decided. A plain
// multicast leaves the queue with its last byte; a confirmed one stays until its outcome has been reported.
// The bytes that an entry counts in the handle's limit are released exactly once. Used by the thread that
// drives the handle, unless marked "any thread".
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <cpgring/event.hpp>
#include <cpgring/result.hpp>

#include "base/clock.hpp"

namespace cpgring::cpg {

using multicast_pieces = std::span<const std::span<const std::byte>>;

class queued_multicast {
 public:
  queued_multicast() = default;
  queued_multicast(const queued_multicast&) = delete;
  queued_multicast& operator=(const queued_multicast&) = delete;

  /// Calls the confirmation; once, after the outcome is decided. Any thread: where the handle's callbacks
  /// run.
  void report();

  /// Size of the payload, also after the payload itself is freed.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::span<const std::byte> payload() const noexcept { return payload_; }
  [[nodiscard]] bool confirmed() const noexcept { return done_ != nullptr; }
  /// The whole message, or its first fragment, is in the request ring.
  [[nodiscard]] bool written() const noexcept { return written_; }
  [[nodiscard]] bool decided() const noexcept { return decided_; }

 private:
  friend class send_queue;
  friend class multicast_pool;
  [[nodiscard]] bool reported() const noexcept;
  void free_payload() noexcept;
  void reset() noexcept;

  std::list<queued_multicast>::iterator self_;  // this entry, in the list that holds it
  std::vector<std::byte> payload_;              // until it is written
  std::size_t bytes_ = 0;
  std::size_t counted_bytes_ = 0;  // in the handle's limit
  base::time_point deadline_;
  confirmation done_;
  std::uint64_t position_ = 0;  // among the entries that had to wait
  std::uint64_t number_ = 0;    // among the own messages of the connection; 0: not expected back
  std::uint64_t sequence_ = 0;
  multicast_fate fate_ = multicast_fate::not_sent;
  std::optional<error> cause_;
  bool written_ = false;
  bool decided_ = false;
  std::atomic<bool> reported_{false};
};

/// Free entries and their buffers, for all handles of a reactor, all of which it outlives. A handle without
/// waiting multicasts holds no entry, and a sender that is always ahead of the service allocates nothing.
class multicast_pool {
 public:
  using list = std::list<queued_multicast>;
  static constexpr std::size_t entries_max = 4096;
  static constexpr std::size_t bytes_max = std::size_t{1} << 20;
  /// A larger buffer is freed: a few of them would fill the pool.
  static constexpr std::size_t bytes_of_one_max = 16384;

  /// Inserts a fresh entry into `to`, before `before`.
  queued_multicast& take(list& to, list::iterator before);
  /// The entry that was returned last is taken first, because its memory is still in the cache.
  void give_back(list& from, list::iterator one) noexcept;
  [[nodiscard]] std::size_t entries_kept() const noexcept { return free_.size(); }
  [[nodiscard]] std::size_t bytes_kept() const noexcept { return bytes_; }

 private:
  list free_;
  std::size_t bytes_ = 0;
};

struct send_limits {
  std::size_t queue_bytes = 0;        ///< handle_options::send_queue_bytes
  std::size_t kept_bytes = 0;         ///< supervision_options::queue_bytes
  std::size_t large_message_max = 0;  ///< handle_options::large_message_max
  std::size_t atomic_max = 0;         ///< largest payload of a message without fragments

  /// An own message comes back with 184 bytes before its payload; libcpg keeps 1024 bytes of its 1 MiB free.
  static std::size_t atomic_max_of(std::size_t ring_bytes) noexcept;
};

class send_queue {
 public:
  /// Bytes that a confirmed multicast counts besides its payload: bounds the number of empty messages.
  static constexpr std::size_t confirmation_overhead = 128;

  send_queue(const send_limits& limits, multicast_pool& pool) noexcept : limits_(limits), pool_(pool) {}
  send_queue(const send_queue&) = delete;
  send_queue& operator=(const send_queue&) = delete;

  // --- any thread: limits
  [[nodiscard]] const send_limits& limits() const noexcept { return limits_; }
  /// Errors: too_big.
  result<void> check_size(std::size_t payload) const;
  /// Counts `bytes` for a multicast of `payload` bytes. `kept`: the handle keeps multicasts until it has
  /// joined, so the smaller of both limits applies. One multicast is always admitted, however large, so that
  /// the limit does not forbid what large_message_max allows. Errors: try_again, too_big.
  result<void> admit(std::size_t bytes, std::size_t payload, bool kept);
  /// Takes back an admit() whose multicast did not reach the queue.
  void undo_admit(std::size_t bytes) noexcept { counted_.fetch_sub(bytes, std::memory_order_relaxed); }
  [[nodiscard]] std::size_t counted() const noexcept { return counted_.load(std::memory_order_relaxed); }
  /// A sender was refused: it is to be notified once there is room.
  void set_refused_sender() noexcept { refused_sender_.store(true, std::memory_order_relaxed); }
  /// True once after one or more senders were refused.
  bool take_refused_sender() noexcept {
    return refused_sender_.load(std::memory_order_relaxed) &&
           refused_sender_.exchange(false, std::memory_order_relaxed);
  }

  // --- accepting
  /// Keeps a plain multicast of the driving thread until the handle has joined. Errors: try_again, too_big.
  result<void> keep(multicast_pieces payload, std::size_t bytes);
  /// `counted`: the bytes that were admitted for it.
  queued_multicast& push(multicast_pieces payload, std::size_t bytes, std::size_t counted);
  /// The multicast was admitted with its overhead.
  queued_multicast& push_confirmed(multicast_pieces payload, std::size_t bytes, base::time_point deadline,
                                   confirmation done);
  /// The same for a multicast that was written without waiting, as own message `number` of the connection.
  queued_multicast& add_written(std::size_t bytes, base::time_point deadline, confirmation done,
                                std::uint64_t number);
  /// Releases the bytes of an admitted multicast that was written without an entry, or will not be sent.
  void release(std::size_t bytes) noexcept;
  /// True once after bytes were released.
  bool take_released() noexcept { return std::exchange(released_, false); }

  // --- writing
  /// Some entry is not completely written.
  [[nodiscard]] bool has_unwritten() const noexcept { return !waiting_.empty() || !sending_.empty(); }
  /// The next entry to be written, or the one that is being sent in fragments. Precondition: has_unwritten().
  [[nodiscard]] queued_multicast& front() noexcept {
    return sending_.empty() ? waiting_.front() : sending_.front();
  }
  [[nodiscard]] std::uint64_t front_position() const noexcept {
    return sending_.empty() ? waiting_.front().position_ : sending_.front().position_;
  }
  /// The entry that is being sent in fragments; null: none.
  [[nodiscard]] queued_multicast* sending() noexcept {
    return sending_.empty() ? nullptr : &sending_.front();
  }
  /// The position of the last entry that had to wait.
  [[nodiscard]] std::uint64_t last_position() const noexcept { return last_position_; }
  /// The front is in the ring, as own message `number`.
  void front_written(std::uint64_t number);
  /// The first fragment of the front is in the ring.
  void begin_sending(std::uint64_t number);
  /// The service has taken all fragments of the front.
  void sending_done();
  /// The message that is being sent will not be completed. Precondition: if it is confirmed it is decided.
  void drop_sending();
  /// The message that is being sent starts again on another connection.
  void restart_sending();
  /// Calls each(bytes) for every multicast that is not completely written.
  template <class Each>
  void each_unwritten(Each&& each) const {
    for (const auto* all : {&sending_, &waiting_}) {
      for (const queued_multicast& one : *all) {
        each(one.bytes_);
      }
    }
  }

  // --- outcomes
  /// Own message `number` of the connection has come back. Its entry, decided or not; null: it has none.
  queued_multicast* own_delivered(std::uint64_t number) noexcept;
  static void confirm(queued_multicast& one, std::uint64_t sequence) noexcept {
    one.decided_ = true;
    one.fate_ = multicast_fate::confirmed;
    one.sequence_ = sequence;
  }
  /// Decides that the message was not sent, or, if it was written, that its outcome is unknown.
  void fail(queued_multicast& one, const error& why) {
    fail(one, why, one.written_ ? multicast_fate::unknown : multicast_fate::not_sent);
  }
  void fail(queued_multicast& one, const error& why, multicast_fate fate);
  /// Own messages of the connection may belong to entries of this queue.
  [[nodiscard]] bool expects_own() const noexcept { return !written_.empty() || !sending_.empty(); }
  /// Calls failed(entry), which decides it, for each undecided confirmed entry, in the order of the calls.
  template <class Failed>
  void each_open(Failed&& failed);
  /// The same for the entries that are completely written.
  template <class Failed>
  void each_open_written(Failed&& failed) {
    each_open_in(written_, failed);
  }
  /// Calls failed(entry), which decides it, for each undecided entry whose deadline has passed.
  template <class Failed>
  void expire(base::time_point now, Failed&& failed);
  /// The earliest deadline of an undecided entry, or an earlier time.
  [[nodiscard]] std::optional<base::time_point> next_deadline() const noexcept { return earliest_; }
  /// Drops the waiting entries. Calls failed(entry), which decides it, for each confirmed one.
  template <class Failed>
  void drop_waiting(Failed&& failed);
  /// The waiting entries are still sent, but their outcome is no longer awaited: calls failed(entry), which
  /// decides it, for each confirmed one.
  template <class Failed>
  void send_unconfirmed(Failed&& failed);
  /// No written message comes back any more. Precondition: each confirmed entry that was written is decided.
  void end_connection();

  /// Returns entries to the pool once their outcome has been reported.
  void sweep() {
    if (!reporting_.empty()) [[unlikely]] {
      give_back_reported();
    }
  }
  /// The outcomes of all decided entries have been reported.
  [[nodiscard]] bool all_reported() const noexcept;
  /// Calls each(entry) for each decided entry without a report. Precondition: all other threads have ended.
  template <class Each>
  void each_unreported(Each&& each);

 private:
  using list = multicast_pool::list;

  template <class Failed>
  static void each_open_in(list& all, Failed& failed);
  queued_multicast& add(list& to, multicast_pieces payload, std::size_t bytes, std::size_t counted);
  void set_confirmation(queued_multicast& one, base::time_point deadline, confirmation done);
  void uncount(queued_multicast& one) noexcept { release(std::exchange(one.counted_bytes_, 0)); }
  void drop(list& from, list::iterator one) noexcept;
  void give_back_reported() noexcept;
  void stop_waiting(queued_multicast& one);

  const send_limits limits_;
  multicast_pool& pool_;
  list waiting_;    // in the order of the calls
  list sending_;    // at most one: it is sent in fragments
  list written_;    // confirmed, expected back in this order
  list reporting_;  // confirmed, neither to be written nor expected back
  std::uint64_t last_position_ = 0;
  std::optional<base::time_point> earliest_;
  bool released_ = false;
  std::atomic<std::size_t> counted_{0};
  std::atomic<bool> refused_sender_{false};
};

template <class Failed>
void send_queue::each_open_in(list& all, Failed& failed) {
  for (auto at = all.begin(); at != all.end();) {
    queued_multicast& one = *at++;  // deciding may move the entry to another list
    if (one.confirmed() && !one.decided_) {
      failed(one);
    }
  }
}

template <class Failed>
void send_queue::each_open(Failed&& failed) {
  each_open_in(written_, failed);
  each_open_in(sending_, failed);
  each_open_in(waiting_, failed);
}

template <class Failed>
void send_queue::expire(base::time_point now, Failed&& failed) {
  if (!earliest_ || now < *earliest_) {
    return;
  }
  earliest_.reset();
  each_open([&](queued_multicast& one) {
    if (one.deadline_ <= now) {
      failed(one);
    } else if (!earliest_ || one.deadline_ < *earliest_) {
      earliest_ = one.deadline_;
    }
  });
}

template <class Failed>
void send_queue::drop_waiting(Failed&& failed) {
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    const auto here = at++;
    if (here->confirmed()) {
      failed(*here);
    } else {
      drop(waiting_, here);
    }
  }
}

template <class Failed>
void send_queue::send_unconfirmed(Failed&& failed) {
  for (auto at = waiting_.begin(); at != waiting_.end(); ++at) {
    if (!at->confirmed()) {
      continue;
    }
    queued_multicast& plain = pool_.take(waiting_, at);
    plain.payload_ = std::exchange(at->payload_, {});
    plain.bytes_ = at->bytes_;
    plain.position_ = at->position_;
    queued_multicast& one = *at;
    at = std::prev(at);
    failed(one);
  }
}

template <class Each>
void send_queue::each_unreported(Each&& each) {
  for (auto* all : {&written_, &sending_, &reporting_}) {
    for (queued_multicast& one : *all) {
      if (one.decided_ && !one.reported()) {
        each(one);
      }
    }
  }
}

}  // namespace cpgring::cpg
