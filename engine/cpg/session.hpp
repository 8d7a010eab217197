// The state of one handle on one connection: membership, multicaster and queries share one request line.
// Independent of reactors, threads and callbacks: reports for the user are added to `notices` and `answers`.
// One thread. The handle's send_queue outlives the session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <cpgring/handle.hpp>
#include <cpgring/result.hpp>
#include <cpgring/view.hpp>

#include "base/clock.hpp"
#include "cpg/codec.hpp"
#include "cpg/fragment_assembler.hpp"
#include "cpg/membership.hpp"
#include "cpg/multicaster.hpp"
#include "cpg/notice.hpp"
#include "cpg/queries.hpp"
#include "cpg/request_line.hpp"
#include "cpg/send_queue.hpp"
#include "ipc/connection.hpp"

namespace cpgring::cpg {

struct session_options {
  std::uint32_t pid = 0;
  std::size_t large_message_max = 0;
  base::nanoseconds control_deadline{0};
};

class session {
 public:
  using pieces = multicast_pieces;
  using open_confirmations = multicaster::open_confirmations;

  session(const session_options& options, send_queue& queue);

  // --- life
  /// The handshake is done: requests the local node id, whose answer makes the session ready.
  void attach(std::unique_ptr<ipc::connection> connection, base::time_point now);
  void announce_restoration() noexcept { membership_.announce_restoration(); }
  [[nodiscard]] const error* join_refusal() const noexcept { return membership_.join_refusal(); }
  /// The connection is lost: completes all open requests, and the state is lost. `keep_unwritten`: multicasts
  /// that were not completely written stay in the queue, for the next connection.
  void lose(error why, bool keep_unwritten = false);
  /// The user closes the handle: completes all open requests, and the state is closed. Multicasts that were
  /// accepted while it was joined are still sent.
  void close(std::optional<error> cause, open_confirmations open = open_confirmations::decide);
  /// The session of the next connection drains the queue from now on.
  void detach_queue() noexcept { multicaster_.detach(); }
  /// Asks the service for FINALIZE. `done` is called when the answer comes, or when none can come. No other
  /// request may be made afterwards.
  void finalize(base::time_point deadline, function<void()> done);
  std::unique_ptr<ipc::connection> give_up_connection() noexcept { return line_.give_up_connection(); }
  [[nodiscard]] ipc::connection* connection() noexcept { return line_.connection(); }
  [[nodiscard]] const ipc::connection* connection() const noexcept { return line_.connection(); }

  // --- requests
  result<void> join(std::string_view group, completion<void> done, base::time_point now);
  result<void> leave(completion<void> done, base::time_point now);
  /// Writes multicasts, also those in the handle's queue.
  [[nodiscard]] multicaster& multicasts() noexcept {
    changed_ = true;
    return multicaster_;
  }
  // See queries.
  result<void> query_members(std::string_view group, completion<std::vector<member_address>> done,
                             base::time_point now);
  result<void> query_groups(completion<std::vector<group_entry>> done, base::time_point now);
  result<void> query_local_node(completion<std::uint32_t> done, base::time_point now);
  result<void> flush(completion<void> done, base::time_point deadline);
  void poke();

  // --- progress
  void cork() noexcept { line_.cork(); }
  [[nodiscard]] bool corked() const noexcept { return line_.corked(); }
  result<void> uncork() { return line_.uncork(); }
  /// Takes answers, writes what can be written now, and notifies a sender that was refused. Errors: the
  /// connection is broken.
  result<void> progress(base::time_point now);
  /// Only writes. Multicasts that were queued before the queue drained precede all requests that are made
  /// from now on.
  result<void> write_waiting() {
    changed_ = true;
    multicaster_.note_waiting();
    return connection() != nullptr ? line_.write(multicaster_) : result<void>();
  }
  /// Handles deadlines and retries, then makes progress().
  result<void> tick(base::time_point now);
  // Without a connection: the deadlines of confirmed multicasts, and the end of those that wait.
  void expire_multicasts(base::time_point now) {
    changed_ = true;
    multicaster_.expire(now);
  }
  void drop_multicasts(const error& why) {
    changed_ = true;
    multicaster_.drop_waiting(why);
  }
  [[nodiscard]] std::optional<base::time_point> next_deadline(base::time_point now) const noexcept {
    const bool waits = busy() || membership_.busy() || queries_.busy() || multicaster_.next_deadline();
    return waits ? earliest_deadline(now) : std::nullopt;
  }
  [[nodiscard]] bool expects_answers() const noexcept { return line_.expects_answers(); }
  /// A turn has work besides the event ring.
  [[nodiscard]] bool busy() const noexcept { return line_.busy() || multicaster_.busy(); }
  /// The last progress() stopped writing only to let other handles have their turn.
  [[nodiscard]] bool more_to_write() const noexcept { return line_.more_to_write(); }

  // --- events
  [[nodiscard]] bool is_own(std::uint32_t node, std::uint32_t pid) const noexcept {
    return membership_.is_own(node, pid);
  }
  result<queued_multicast*> own_delivered(std::size_t bytes) { return multicaster_.own_delivered(bytes); }
  static void confirm(queued_multicast& one, std::uint64_t sequence) noexcept {
    send_queue::confirm(one, sequence);
  }
  void report(queued_multicast& one) {
    changed_ = true;
    multicaster_.report(one);
  }
  void give_up(queued_multicast& one, const error& why) {
    changed_ = true;
    multicaster_.give_up(one, why);
  }
  /// The view to show; null: not visible to this handle. `torn`: incomplete messages of members that left.
  const view* configuration_changed(const configuration& change, std::vector<cpg::aborted>& torn);
  const view* ring_changed(const totem_configuration& change) { return membership_.apply(change); }
  bool hold_view() { return membership_.hold_view(); }
  void show_view() noexcept { membership_.show_view(); }
  [[nodiscard]] const view* current_view() const noexcept { return &membership_.current_view(); }
  fragment_assembler::outcome piece(const fragment& part) { return assembler_.push(part); }

  std::deque<notice> notices;
  /// Answers to questions. They have no place in the order of events, so messages need not wait for them.
  std::deque<notice> answers;
  /// Appends the oldest answers, at most `most`, to the notices.
  void answers_to_notices(std::size_t most);

  // --- state: see membership
  [[nodiscard]] handle_state state() const noexcept { return membership_.state(); }
  [[nodiscard]] std::string_view group() const noexcept { return membership_.group(); }
  [[nodiscard]] std::uint32_t local_node() const noexcept { return membership_.local_node(); }
  [[nodiscard]] bool removed() const noexcept { return membership_.removed(); }
  [[nodiscard]] bool takes_messages() const noexcept { return membership_.takes_messages(); }

  struct counters {
    std::uint64_t multicasts = 0, multicast_bytes = 0, not_writable = 0, doorbells = 0, pokes = 0;
  };
  /// Counts, state or deadlines may have changed since the last call. Messages of other members change
  /// nothing.
  [[nodiscard]] bool take_changed() noexcept { return std::exchange(changed_, false); }
  [[nodiscard]] counters counts() const noexcept {
    const auto& sent = multicaster_.counts();
    return {sent.multicasts, sent.bytes, sent.refused, line_.doorbells(), line_.pokes()};
  }

 private:
  // Retry interval for a refused sender or a request that can't be written: corosync checks its own flow
  // control every millisecond.
  static constexpr std::chrono::milliseconds writable_pause{1};

  [[nodiscard]] std::optional<base::time_point> earliest_deadline(base::time_point now) const noexcept;

  request_line line_;
  membership membership_;
  multicaster multicaster_;
  queries queries_;
  fragment_assembler assembler_;
  bool changed_ = false;
};

}  // namespace cpgring::cpg
