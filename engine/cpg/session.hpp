// Station C3 of 7: from dispatch/intake_queue, to ipc/ring_writer.
//
// One handle's conversation with the service: requests are encoded and written in order, answers and views move the state, large messages
// go out as fragments. Knows nothing of reactors, threads or callbacks: what the user must hear of is put into `notices`.
// One thread. Invariants: I1 requests leave in the order they were asked for. I2 nothing is written while the service holds us back or the
// handle is not joined. I3 nothing above 1047552 bytes of payload leaves. I4 each completion is settled exactly once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <cpgring/error.hpp>
#include <cpgring/event.hpp>
#include <cpgring/handle.hpp>
#include <cpgring/view.hpp>

#include "base/clock.hpp"
#include "cpg/awaited.hpp"
#include "cpg/codec.hpp"
#include "cpg/fragment_assembler.hpp"
#include "cpg/outbox.hpp"
#include "cpg/pending.hpp"
#include "cpg/view_builder.hpp"
#include "ipc/connection.hpp"

namespace cpgring::cpg {

struct session_options {
  std::uint32_t max_message_size = 0;
  std::uint32_t pid = 0;
  std::size_t send_queue_bytes = 0;
  std::size_t large_message_max = 0;
  std::chrono::nanoseconds control_deadline{0};
};

struct iteration;

/// Something that the user is to hear, in order; run by the pump, one callback each.
struct notice {
  enum class kind { state, settled, writable, aborted, restored };
  kind what = kind::settled;
  handle_state from = handle_state::connecting;
  handle_state to = handle_state::connecting;
  std::optional<error> cause;
  std::optional<fragment_assembler::aborted> aborted;
  std::function<void()> settle;
};

class session {
  struct entry;

 public:
  using outbox_room = cpg::outbox_room<entry>;
  using completion = std::function<void(result<void>)>;
  using pieces = std::span<const std::span<const std::byte>>;

  /// `room`: of the thread that drives it.
  session(session_options options, outbox_room& room);

  // --- life -----------------------------------------------------------------------------------------------------------------
  /// The handshake is done; asks for the local node id, whose answer makes the session ready.
  void attach(std::unique_ptr<ipc::connection> connection, base::time_point now);
  /// It follows one that was lost: a notice says so as soon as it is ready.
  void announce_restoration() noexcept { restoration_due_ = true; }
  /// Why the service refused the last join; null: it did not.
  [[nodiscard]] const error* join_refusal() const noexcept { return join_refusal_ ? &*join_refusal_ : nullptr; }
  /// Nothing more can come: every open completion fails, the state is lost.
  void lose(error why);
  /// The user wants no more of it: open completions fail, the state is closed. What was multicast stays in line to be sent; whoever waits
  /// for it to come back is told now that it is not known, or is left to be told once it is known what was sent.
  enum class awaited_later { no, yes };
  void close(std::optional<error> cause, awaited_later later = awaited_later::no);
  /// Asks the service to FINALIZE; `done` is called with its answer (or a failure). Nothing else may be asked afterwards.
  void finalize(base::time_point deadline, std::function<void()> done);
  std::unique_ptr<ipc::connection> give_up_connection() noexcept { return std::move(connection_); }
  void move_to(handle_state to, std::optional<error> cause = std::nullopt);
  [[nodiscard]] ipc::connection* connection() noexcept { return connection_.get(); }
  [[nodiscard]] const ipc::connection* connection() const noexcept { return connection_.get(); }

  // --- requests -------------------------------------------------------------------------------------------------------------
  result<void> join(std::string_view group, completion done, base::time_point now);
  result<void> leave(completion done, base::time_point now);
  /// Straight into the ring, or try_again. Above the atomic limit: queued as fragments.
  result<void> multicast(pieces payload, std::size_t bytes);
  /// From another thread: queued when it cannot be written now. The caller has already counted it against send_queue_bytes.
  /// `written` runs when its bytes have left the queue.
  result<void> multicast_or_queue(std::span<const std::byte> payload, std::function<void()> written);
  /// As above; a notice tells what becomes of it. Fails where it will not be tried; then nothing is told.
  result<void> multicast_awaited(pieces payload, std::size_t bytes, base::time_point deadline, awaited::told_function done);
  result<std::span<std::byte>> reserve(std::size_t bytes);
  result<void> commit(std::size_t bytes);
  void abandon() noexcept;
  /// By a walk over that group: a stock service overruns its stack when it is asked for the members of a group that has more than 384.
  result<void> query_members(std::string_view group, handle::answer<std::vector<member>> done, base::time_point now);
  result<void> query_groups(handle::answer<std::vector<group_entry>> done, base::time_point now);
  result<void> query_local_node(handle::answer<std::uint32_t> done, base::time_point now);

  // --- progress -------------------------------------------------------------------------------------------------------------
  /// Between cork and uncork multicasts are staged and leave together, with one doorbell.
  void cork() noexcept { ++corks_; }
  [[nodiscard]] bool corked() const noexcept { return corks_ != 0; }
  result<void> uncork();
  /// Takes answers, writes what can be written now, says `writable` if somebody waits for that. False: the connection is broken.
  result<void> progress(base::time_point now);
  /// Deadlines and retries.
  result<void> tick(base::time_point now);
  [[nodiscard]] std::optional<base::time_point> next_deadline(base::time_point now) const noexcept;
  [[nodiscard]] bool expects_answers() const noexcept { return !pending_.empty(); }
  /// Something beyond the event ring needs a look in this turn.
  [[nodiscard]] bool busy() const noexcept { return !pending_.empty() || !outbox_.empty() || !questions_.empty() || want_writable_; }
  /// The last look stopped writing for the others' sake alone.
  [[nodiscard]] bool more_to_write() const noexcept { return more_to_write_; }
  /// Any request makes a service that queues for us look at its queue again; sent when nothing else goes out.
  void poke();

  // --- events ---------------------------------------------------------------------------------------------------------------
  [[nodiscard]] bool is_own(std::uint32_t node, std::uint32_t pid) const noexcept { return node == local_node_ && pid == options_.pid; }
  /// To be called for each own message, the last piece of a large one too. Who is to be told with confirm() that it is back; null: nobody.
  result<awaited*> came_back(std::size_t bytes);
  static void confirm(awaited& one, std::uint64_t sequence) noexcept { awaited_list::confirm(one, sequence); }
  /// By a notice.
  void tell(awaited& one);
  void give_up(awaited& one, const error& why);
  /// Calls each(bytes) for every message that still waits to be written.
  template <class Each>
  void each_unsent(Each&& each) const {
    for (const auto& one : outbox_) {
      if (one.what != entry::kind::control) {
        each(one.bytes.size());
      }
    }
  }
  [[nodiscard]] awaited_list& awaits() noexcept { return awaited_; }
  /// The view to show to the user; null when it is none of the user's business (ring change of a handle in no group).
  const view* configuration_changed(const configuration& change, std::vector<fragment_assembler::aborted>& aborted);
  const view* ring_changed(const totem_configuration& change);
  /// Whether the last view need not be shown yet; if so, the next change is merged into it. Not what changes the session itself.
  bool hold_view();
  void show_view() noexcept { views_.show(); }
  [[nodiscard]] const view* current_view() const noexcept { return &views_.current(); }
  fragment_assembler::outcome piece(const fragment& part) { return assembler_.push(part); }

  std::deque<notice> notices;
  /// Answers to questions: tied to no place in the stream, so that messages need not wait for all of them.
  std::deque<notice> answers;
  /// Makes notices of the oldest.
  void answers_to_notices(std::size_t most);

  [[nodiscard]] handle_state state() const noexcept { return state_; }
  [[nodiscard]] std::string_view group() const noexcept { return group_; }
  [[nodiscard]] std::uint32_t local_node() const noexcept { return local_node_; }
  [[nodiscard]] std::uint32_t pid() const noexcept { return options_.pid; }
  [[nodiscard]] std::size_t atomic_max() const noexcept { return atomic_max_; }
  /// Somebody else's leave named this process: the service no longer counts us in.
  [[nodiscard]] bool removed() const noexcept { return removed_; }
  /// A stock service goes on to deliver the group's messages and views to who has left it, until the connection ends.
  [[nodiscard]] bool takes_messages() const noexcept { return state_ == handle_state::joined || state_ == handle_state::leaving; }

  struct counters {
    std::uint64_t multicasts = 0, multicast_bytes = 0, not_writable = 0, doorbells = 0, pokes = 0;
  };
  [[nodiscard]] const counters& counts() const noexcept { return counts_; }

 private:
  struct entry {  // one thing to be written, when its turn comes
    enum class kind { control, question, message, large };
    kind what = kind::control;
    std::vector<std::byte> bytes;  // control and question: the whole request; else the payload
    std::uint32_t response_id = 0;
    std::uint32_t response_size = 0;
    base::time_point deadline;
    settle_function settle;         // control and question
    settle_function late;           // the answer came behind the deadline
    std::function<void()> written;  // message and large: its bytes no longer count against the queue
    std::size_t offset = 0;         // large: sent so far
    awaited* waits = nullptr;       // message and large
    std::uint64_t number = 0;       // in the line; of a question: of the last one there when it was asked
    bool numbered = false;          // large: counted among what was written
  };
  struct operation {  // a join or leave from its request to its view
    base::time_point deadline;
    completion done;
    std::optional<base::time_point> retry_at;
  };

  void settle_operation(std::optional<operation>& which, result<void> outcome);
  void ask(std::vector<std::byte> request, std::uint32_t response_id, std::uint32_t response_size, base::time_point deadline,
           settle_function settle);
  void question(std::vector<std::byte> request, std::uint32_t response_id, std::uint32_t response_size, base::time_point deadline,
                settle_function settle);
  result<void> write_questions();
  void expire_questions(base::time_point now);
  void give_up_questions(const error& why);
  void ask_join(base::time_point now);
  void join_answered(const result<answer_bytes>& answer);
  void leave_answered(const result<answer_bytes>& answer);
  void walk(std::uint32_t type, std::string_view group, const std::shared_ptr<iteration>& how);
  void start_walks();
  void walk_over();
  void iterate(const std::shared_ptr<iteration>& how);
  void end_iteration(std::uint64_t service_handle);
  result<void> usable() const;
  result<void> may_send(std::size_t bytes) const;
  void stand_in_line(entry one) {
    one.number = ++in_line_;
    outbox_.push_back(std::move(one));
  }
  static entry request_entry(std::vector<std::byte> request, std::uint32_t response_id, std::uint32_t response_size,
                             base::time_point deadline, settle_function settle);
  bool write_request(entry& one);
  bool write_message(pieces payload, std::size_t bytes, awaited* waits = nullptr);
  result<bool> write_front();
  void write_fragment(entry& front);
  void fragment_answered(const result<answer_bytes>& answer);
  result<void> write_outbox();
  result<void> take_answers();
  result<void> flush();
  error refused() noexcept;
  void give_up_awaited(const error& why);
  void expire_awaited(base::time_point now);

  // corosync asks for patience with TRY_AGAIN; libcpg's own users wait 1 to 100 ms.
  static constexpr std::chrono::milliseconds retry_pause{5};

  session_options options_;
  std::size_t atomic_max_;
  std::unique_ptr<ipc::connection> connection_;
  handle_state state_ = handle_state::connecting;
  std::string group_;
  std::uint32_t local_node_ = 0;
  pending pending_;
  outbox<entry> outbox_;
  std::uint64_t in_line_ = 0;  // the number of the last entry
  // Beside that line: a question is written behind all that was there when it was asked, and what comes later need not wait for it.
  std::deque<entry> questions_;
  std::uint32_t questions_out_ = 0;
  std::list<entry> walks_;       // that have not begun: a service keeps few iterations for a connection
  std::uint32_t walks_out_ = 0;  // iterations that the service may have
  awaited_list awaited_;
  std::optional<operation> join_, leave_;
  view_builder views_;
  fragment_assembler assembler_;
  counters counts_;
  std::byte* reserved_at_ = nullptr;
  std::size_t reserved_ = 0;
  std::uint32_t corks_ = 0;
  bool has_reservation_ = false;
  bool want_writable_ = false;
  bool more_to_write_ = false;
  bool fragment_in_flight_ = false;
  bool poking_ = false;
  bool finalizing_ = false;
  bool asks_no_more_ = false;  // lost or closed: what fails now is followed by no further question
  bool restoration_due_ = false;
  std::optional<error> join_refusal_;
  bool removed_ = false;
  std::optional<base::time_point> fragment_retry_at_;
  base::time_point now_;
};

}  // namespace cpgring::cpg
