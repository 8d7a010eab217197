// Station C5 of 11: from runtime/handle_requests, to cpg/request_line.
//
// Writes the multicasts of a handle through the request line of one connection, and matches its own messages
// when they come back.
//
// A multicast that can be written at once goes directly into the ring; otherwise it waits in the handle's
// send_queue, which drains only while the handle is joined. CPG messages carry no id, but a connection's own
// messages come back completely and in the order in which they were written: the n-th that was written is the
// n-th that comes back. One thread. Invariants:
// I1 Multicasts are written in the order of the calls.
// I2 No request carries a payload above 1047552 bytes. A larger message is sent as fragments, one at a time,
// and nothing after it is written before the service has taken its last fragment.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <utility>

#include <cpgring/event.hpp>
#include <cpgring/result.hpp>

#include "base/clock.hpp"
#include "cpg/membership.hpp"
#include "cpg/notice.hpp"
#include "cpg/request_line.hpp"
#include "cpg/send_queue.hpp"

namespace cpgring::cpg {

class multicaster {
 public:
  /// The treatment of undecided confirmed multicasts when the handle is closed.
  enum class open_confirmations {
    decide,  ///< they are reported at once
    leave    ///< they are decided later, when it is known what was sent
  };

  multicaster(base::nanoseconds control_deadline, send_queue& queue, request_line& line,
              const membership& self, std::deque<notice>& notices) noexcept
      : control_deadline_(control_deadline), queue_(queue), line_(line), self_(self), notices_(notices) {}
  multicaster(const multicaster&) = delete;
  multicaster& operator=(const multicaster&) = delete;

  // --- sending
  /// Writes into the ring. A message that needs fragments is queued. Errors: try_again and those of
  /// may_send().
  result<void> multicast(multicast_pieces payload, std::size_t bytes);
  /// Sends a multicast that another thread has admitted. Queued if it can't be written now. Its bytes are
  /// released when it is written or refused.
  result<void> multicast_or_queue(std::span<const std::byte> payload);
  /// The multicast was admitted with its overhead. Queued if it can't be written now. A notice reports the
  /// outcome. On failure `done` and the admitted bytes remain the caller's.
  result<void> multicast_confirmed(multicast_pieces payload, std::size_t bytes, base::time_point deadline,
                                   confirmation&& done);
  /// Reserves room for one message in the ring itself, until commit() or abandon().
  result<std::span<std::byte>> reserve(std::size_t bytes);
  result<void> commit(std::size_t bytes);
  void abandon() noexcept {
    reservation_ = {};
    line_.abandon_reservation();
  }

  // --- own messages
  /// Call for each own message that comes back, also for the last fragment of a large one. Returns the
  /// undecided entry of the message; null: there is none. Errors: malformed, when the size is not the one
  /// that was sent.
  result<queued_multicast*> own_delivered(std::size_t bytes) {
    ++back_;
    return queue_.expects_own() ? match(bytes) : result<queued_multicast*>(nullptr);
  }
  /// Adds a notice that reports the outcome of the entry.
  void report(queued_multicast& one);
  /// Decides that the message was not sent, or that its outcome is unknown, and reports that.
  void give_up(queued_multicast& one, const error& why);

  // --- for request_line::write()
  [[nodiscard]] std::uint64_t front_position() const noexcept {
    return has_unwritten() ? queue_.front_position() : request_line::nowhere;
  }
  [[nodiscard]] std::size_t front_bytes() const noexcept { return queue_.front().bytes(); }
  bool write_front();

  // --- progress
  /// The handle has joined: from now on the queue drains.
  void begin_draining() noexcept {
    draining_ = true;
    note_waiting();
  }
  /// All entries of the queue precede the requests that are made from now on.
  void note_waiting() noexcept {
    if (draining_) {
      line_.multicasts_wait_up_to(queue_.last_position());
    }
  }
  [[nodiscard]] bool has_unwritten() const noexcept { return draining_ && queue_.has_unwritten(); }
  [[nodiscard]] bool busy() const noexcept { return has_unwritten() || refused_; }
  /// Something waits for flow control or ring space. No event announces these, so a timer must retry.
  [[nodiscard]] bool blocked_by_flow_control() const noexcept {
    return refused_ || ((has_unwritten() || !line_.idle()) && !large_.in_flight);
  }
  /// Adds a notice once a refused sender may write again.
  void notify_writable();
  void expire(base::time_point now);
  [[nodiscard]] std::optional<base::time_point> next_deadline() const noexcept {
    if (detached_) {
      return std::nullopt;
    }
    const auto at = queue_.next_deadline();
    return at && large_.retry_at ? std::min(*at, *large_.retry_at) : at ? at : large_.retry_at;
  }

  // --- the end
  /// The handle has left its group: no own message comes back any more.
  void leave(const error& why);
  /// The connection is lost. `keep`: what was not completely written stays queued for the next one.
  void lose(const error& why, bool keep);
  /// The handle was closed: multicasts that were accepted while it was joined are still sent.
  void close(const error& why, open_confirmations open);
  /// The multicaster of another connection drains the queue from now on.
  void detach() noexcept { detached_ = true, draining_ = false; }
  /// The waiting multicasts will not be sent.
  void drop_waiting(const error& why);

  struct counters {
    std::uint64_t multicasts = 0, bytes = 0, refused = 0;
  };
  [[nodiscard]] const counters& counts() const noexcept { return counts_; }

 private:
  struct large_progress {  // of the message at the front, if it is sent in fragments
    std::size_t offset = 0;
    base::time_point give_up_at;
    std::optional<base::time_point> retry_at;
    bool in_flight = false;
  };

  [[nodiscard]] bool may_write_at_once() const noexcept { return line_.idle() && !queue_.has_unwritten(); }
  result<void> may_send(std::size_t bytes) const;
  error refuse() noexcept;
  result<queued_multicast*> match(std::size_t bytes);
  bool write(multicast_pieces payload, std::size_t bytes);
  void push(multicast_pieces payload, std::size_t bytes, std::size_t counted);
  void count(std::size_t bytes) noexcept {
    ++counts_.multicasts;
    counts_.bytes += bytes;
  }
  void give_up_sending(const error& why, bool keep);
  void write_fragment();
  void fragment_answered(const result<answer_bytes>& answer);
  void abort_large(std::int32_t status);

  const base::nanoseconds control_deadline_;
  send_queue& queue_;
  request_line& line_;
  const membership& self_;
  std::deque<notice>& notices_;
  large_progress large_;
  std::span<std::byte> reservation_;      // header included
  std::uint64_t written_ = 0, back_ = 0;  // own messages of this connection
  counters counts_;
  bool draining_ = false;
  bool detached_ = false;
  bool refused_ = false;  // a sender on the driving thread got try_again
};

}  // namespace cpgring::cpg
