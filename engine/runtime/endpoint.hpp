// What a handle refers to: one session, its callbacks, its place in the reactor, from open() to the end of its connection.
//
// Everything is the reactor's thread's, but for what is marked "any thread". Kept alive by the registry, by user's handles, and, for the
// rest of a turn in which it ended, by the core's list of retired endpoints.
//
// A supervised handle is a line of endpoints under one id. Users hold the first, the face: what any thread may read is there. Each later
// one has a connection of its own, keeps the face alive, and is what the face calls live() until the next.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <cpgring/engine.hpp>
#include <cpgring/handle.hpp>
#include <cpgring/options.hpp>

#include "base/clock.hpp"
#include "base/counter.hpp"
#include "cpg/session.hpp"
#include "dispatch/deliver.hpp"
#include "ipc/handshake.hpp"
#include "reactor/reactor.hpp"
#include "runtime/pump.hpp"
#include "runtime/request_slots.hpp"

namespace cpgring::runtime {

class engine_core;

class endpoint final : public std::enable_shared_from_this<endpoint>, private reactor::watcher, private reactor::timer {
 public:
  using pieces = cpg::session::pieces;

  endpoint(std::shared_ptr<engine_core> core, std::uint64_t id, handle_options options, callbacks calls);
  /// The next of the line; `group`: to join, or empty.
  endpoint(std::shared_ptr<endpoint> face, std::string group, handle::completion joined);
  ~endpoint() override;

  // --- any thread: the calls of handle ---------------------------------------------------------------------------------------
  [[nodiscard]] engine_core& core() noexcept { return *core_; }
  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  [[nodiscard]] const handle_options& options() const noexcept { return options_; }
  [[nodiscard]] handle_state state() const noexcept { return state_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint32_t local_node() const noexcept { return local_node_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint32_t pid() const noexcept { return pid_; }
  [[nodiscard]] std::size_t atomic_max() const noexcept { return atomic_max_; }
  [[nodiscard]] std::string group() const;
  [[nodiscard]] bool supervised() const noexcept { return options_.supervision.reconnect; }
  /// The line has come to its end: no further connection will be tried.
  [[nodiscard]] bool over() const noexcept { return over_.load(std::memory_order_relaxed); }
  /// On its way into its group, and told to keep multicasts until it is there.
  [[nodiscard]] bool keeps_multicasts() const noexcept;
  [[nodiscard]] handle_stats stats() const noexcept;
  /// Counts bytes on their way from another thread against the queue limit; `payload` of them against the limits of a message.
  [[nodiscard]] const request_slots& requests() const noexcept { return requests_; }
  result<void> admit(std::size_t bytes, std::size_t payload);
  result<void> admit(std::size_t bytes) { return admit(bytes, bytes); }
  static constexpr std::size_t confirmation_overhead = cpg::awaited_list::overhead;
  void unadmit(std::size_t bytes) noexcept { face_->queued_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  /// The intake was full: say writable once there is room.
  void wants_writable() noexcept { face_->blocked_sender_.store(true, std::memory_order_relaxed); }
  /// Closes on the driving thread; cannot fail: with a full intake a flag tells.
  void request_close();

  /// What a request is told that can't be made now; any thread.
  static tl::unexpected<error> away();

  // --- reactor's thread: the line (endpoint_line.cpp) --------------------------------------------------------------------------
  /// Of a face: the one that requests go to.
  [[nodiscard]] endpoint& live() noexcept { return next_ ? *next_ : *this; }
  [[nodiscard]] bool awaits_revival() const noexcept { return revival_due_; }
  /// The engine ends: nobody refers to anybody any more.
  void cut_line() noexcept { face_->next_.reset(); }
  std::atomic<void*> context{nullptr};

  // --- reactor's thread: requests --------------------------------------------------------------------------------------------
  result<void> join(std::string_view group, handle::completion done);
  result<void> leave(handle::completion done);
  result<void> multicast(pieces payload, std::size_t bytes);
  void multicast_crossed(std::span<const std::byte> payload);
  /// Admitted before, its overhead included; fails where it will not be tried.
  result<void> multicast_confirmed(pieces payload, std::size_t bytes, base::time_point deadline, handle::confirmation done);
  /// From another thread; if it fails, `done` is still to be told.
  result<void> multicast_confirmed_crossed(std::span<const std::byte> payload, base::time_point deadline, const handle::confirmation& done);
  result<std::span<std::byte>> reserve(std::size_t bytes);
  result<void> commit(std::size_t bytes);
  void abandon() noexcept;
  /// Runs `request(session, now)` and looks after what it changed.
  template <class Request>
  result<void> request(Request&& ask) {
    auto outcome = ended_ ? result<void>(why_not()) : ask(session_, now());
    settle_changes();
    return outcome;
  }

  // --- reactor's thread: life ------------------------------------------------------------------------------------------------
  void begin_connect(base::time_point deadline);
  [[nodiscard]] reactor::source* source() noexcept { return &pump_; }
  void mark_ready();
  void flush_staged();
  void say_writable_if_blocked();
  void close_if_requested();
  /// Lets go of the connection without a word.
  void drop() noexcept;
  /// No more callbacks but state(lost); the connection goes at once.
  void lose(error why);
  /// The same, but behind the batch that has been leased already.
  void lose_after_batch(error why) { due_loss_ = std::move(why); }
  bool lose_if_due();
  /// No more callbacks but state(closed); the connection lingers until the service has taken what was multicast.
  void close_now(std::optional<error> cause = std::nullopt);
  void linger_over();
  [[nodiscard]] bool ended() const noexcept { return ended_; }
  [[nodiscard]] bool lingering() const noexcept { return lingering_; }
  [[nodiscard]] bool linked() const noexcept { return linked_; }
  /// For the end of the engine, when there is no reactor any more: ask for FINALIZE, then go on until answered.
  void begin_blocking_close(base::time_point deadline);
  bool blocking_close_done();
  /// At the very end: what the service did not get.
  void count_unsent(shutdown_report& report) const;
  /// Runs the confirmations that nobody else will run, on this thread.
  void tell_untold();
  [[nodiscard]] bool all_told() {
    session_.awaits().sweep();
    return session_.awaits().all_told();
  }
  /// What was asked for and has no answer will have none.
  void forget_requests();
  void forget_reactor() noexcept { linked_ = watching_ = false; }

  // --- with workers ----------------------------------------------------------------------------------------------------------
  /// The worker that runs errands, and with ordering::by_handle everything.
  [[nodiscard]] std::uint32_t home_worker() const noexcept;
  /// A notice as a call for a worker; empty: nobody wants to hear of it.
  std::function<void()> call_for(cpg::notice one);
  /// A receipt came for a handle that has ended: its last words, then its rings and itself may go.
  void worker_done();
  /// A worker whose queue was full has room again.
  void room_again() { pump_.room_again(); }
  void forget_workers() noexcept { pump_.forget_workers(); }
  [[nodiscard]] bool done_with_workers() const noexcept { return pump_.idle() && !drop_due_; }
  /// Any thread: a worker may run the next callback.
  [[nodiscard]] bool worker_may_call() const noexcept;
  void no_more_calls() noexcept { no_more_calls_.store(true, std::memory_order_relaxed); }

  // --- for the pump ----------------------------------------------------------------------------------------------------------
  [[nodiscard]] cpg::session& session() noexcept { return session_; }
  [[nodiscard]] const callbacks& calls() const noexcept { return calls_; }
  [[nodiscard]] handle self();
  [[nodiscard]] base::time_point now() const noexcept;
  [[nodiscard]] bool goes_on() const noexcept;
  /// Runs user code; false: it threw or the handle ended in it.
  template <class Call>
  bool run(Call&& call) {
    if (auto thrown = dispatch::deliver(call)) {
      close_now(std::move(thrown));
    }
    return goes_on();
  }
  bool deliver_notice(const cpg::notice& one);
  void notice_aborted(cpg::fragment_assembler::aborted one);
  void count_messages(std::uint64_t messages, std::uint64_t bytes) noexcept {
    face_->messages_.add(messages);
    face_->message_bytes_.add(bytes);
  }
  void count_view() noexcept { face_->view_count_.add(); }
  /// Says, once for each engine, what stock daemons make of large groups.
  void look_at_crowd(std::size_t members);
  void count_fragment() noexcept { face_->fragments_.add(); }
  /// A send that failed means that the socket is gone; the reactor hears of that by itself.
  void count_result(const result<void>& outcome) noexcept { send_failures_.add(outcome ? 0U : 1U); }
  /// Makes counters and state visible to other threads and sets the timer.
  void publish();
  void schedule();

 private:
  void readable() override;  // watcher: the handshake's answer
  void expired() override;   // timer
  void advance_handshake();
  void connected(ipc::connection connection);
  void release_slot();
  void unlink();
  void settle_changes();
  void hand_over_notices();
  void look_at_name(std::string_view group) const;
  [[nodiscard]] tl::unexpected<error> why_not() const { return revival_due_ ? away() : fail(errc::bad_handle); }
  void begin_linger();
  [[nodiscard]] bool heard(cpg::notice::kind what) const noexcept;
  void written(std::size_t bytes);
  void hold_doorbell();
  struct line;
  [[nodiscard]] bool may_revive(const error& why) const;
  [[nodiscard]] bool revived_in_vain() const noexcept;
  void await_revival();
  void revive();
  void follow(std::string group, handle::completion joined);
  void end_line(const error& why);
  void schedule_revival();
  [[nodiscard]] bool refused_again() const noexcept { return rejoins_ && session_.join_refusal() != nullptr; }
  void look_at_state();
  result<void> keep_for_later(pieces payload, std::size_t bytes);
  void keep_crossed(std::span<const std::byte> payload);
  void keep_confirmed(pieces payload, std::size_t bytes, base::time_point deadline, handle::confirmation done);
  void drop_kept(std::size_t bytes, bool admitted, handle::confirmation done, const error& why);
  void drop_all_kept(const error& why);
  void expire_kept();
  void send_kept();
  [[nodiscard]] restoration describe_restoration() const;

  const std::shared_ptr<engine_core> core_;
  const std::uint64_t id_;
  struct wishes {
    handle_options options;
    callbacks calls;
  };
  const std::shared_ptr<const wishes> wishes_;  // one for the line: callbacks may have state
  const handle_options& options_;
  const callbacks& calls_;
  const std::shared_ptr<endpoint> keep_face_;  // null in the face itself
  endpoint* const face_;
  std::shared_ptr<endpoint> next_;    // of a face: null as long as it is live itself
  const std::unique_ptr<line> line_;  // of a face that is supervised
  std::string group_to_join_;         // what this handle is in, or on its way into
  bool rejoins_ = false;              // by itself: a refusal is one more attempt that failed
  bool join_asked_ = false;           // for that, by the user, before it was connected
  handle::completion joined_;         // of the join that a new one begins with
  bool revival_due_ = false;          // ended; the timer brings the next
  bool shown_ = true;                 // the face's state is this one's: until it is replaced, or ends before users knew of it
  bool heard_of_ = false;             // it was ready: users know of it
  const std::uint32_t pid_;
  cpg::session session_;
  pump pump_;
  const std::size_t atomic_max_;
  std::optional<ipc::handshake> handshake_;
  base::time_point connect_deadline_;
  base::time_point linger_until_;
  std::optional<error> due_loss_;
  bool linked_ = false;          // the pump is the reactor's
  bool watching_ = false;        // the handshake's socket is the reactor's
  bool holds_slot_ = false;      // counts among the handshakes under way
  bool staged_outside_ = false;  // corked outside of its turn: the core will flush it
  bool ended_ = false;
  bool lingering_ = false;
  bool finalize_answered_ = false;
  bool drop_due_ = false;  // the rings go once no worker reads them any more

  std::atomic<bool> no_more_calls_{false};

  std::atomic<handle_state> state_{handle_state::connecting};
  std::atomic<std::uint32_t> local_node_{0};
  std::atomic<std::size_t> queued_bytes_{0};
  const request_slots requests_{handle::requests_max};
  std::atomic<bool> blocked_sender_{false};
  std::atomic<bool> close_requested_{false};
  std::atomic<bool> over_{false};
  mutable std::mutex group_lock_;  // control path only
  std::string group_;
  std::shared_ptr<dispatch::lease_desk> desk_;  // of a face, under group_lock_: the live one's
  handle_stats before_;                         // what earlier ones of the line had counted
  base::counter messages_, message_bytes_, view_count_, fragments_, aborted_, send_failures_, shm_bytes_;
  base::counter multicasts_, multicast_bytes_, not_writable_, doorbells_, pokes_, copied_out_, copied_out_bytes_, copied_out_now_;
  base::counter ring_used_, ring_used_max_, oldest_age_ns_, overloads_;
};

}  // namespace cpgring::runtime
