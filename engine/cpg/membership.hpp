// The state of a handle on one connection: join, leave and their retries, views, the local node id.
//
// One thread. Invariants:
// I1 The state changes only as handle_transitions.hpp allows.
// I2 A join or leave is completed exactly once: by the own view, by a refusal, at its deadline, or at the end
// of the connection.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include <cpgring/event.hpp>
#include <cpgring/result.hpp>
#include <cpgring/view.hpp>

#include "base/clock.hpp"
#include "cpg/codec.hpp"
#include "cpg/notice.hpp"
#include "cpg/request_line.hpp"
#include "cpg/view_builder.hpp"

namespace cpgring::cpg {

class membership {
 public:
  /// Pause before repeating a request that was answered with TRY_AGAIN. Users of libcpg wait 1 to 100 ms.
  static constexpr std::chrono::milliseconds retry_pause{5};
  /// The change of this process's own membership in a view.
  enum class own_change { none, joined, left, removed };

  membership(std::uint32_t pid, base::nanoseconds control_deadline, request_line& line,
             std::deque<notice>& notices) noexcept
      : pid_(pid), control_deadline_(control_deadline), line_(line), notices_(notices) {}
  membership(const membership&) = delete;
  membership& operator=(const membership&) = delete;

  // --- state
  [[nodiscard]] handle_state state() const noexcept { return state_; }
  [[nodiscard]] std::string_view group() const noexcept { return group_; }
  [[nodiscard]] std::uint32_t local_node() const noexcept { return local_node_; }
  [[nodiscard]] std::uint32_t pid() const noexcept { return pid_; }
  [[nodiscard]] bool is_own(std::uint32_t node, std::uint32_t pid) const noexcept {
    return node == local_node_ && pid == pid_;
  }
  /// False also in state `left`, although a stock service delivers the group's messages and views to this
  /// handle until the connection ends.
  [[nodiscard]] bool takes_messages() const noexcept {
    return state_ == handle_state::joined || state_ == handle_state::leaving;
  }
  /// A leave of another process named this one: the service no longer counts this process as a member.
  [[nodiscard]] bool removed() const noexcept { return removed_; }
  /// The error of the last join that failed; null: none has failed.
  [[nodiscard]] const error* join_refusal() const noexcept {
    return join_refusal_ ? &*join_refusal_ : nullptr;
  }
  /// Errors: bad_handle, once no request may be made any more.
  result<void> usable() const;

  // --- requests
  /// Requests the local node id; its answer makes the handle ready.
  void begin();
  /// The connection follows one that was lost: a `restored` notice is added when it is ready.
  void announce_restoration() noexcept { restoration_due_ = true; }
  /// Before state `ready` the request waits for that state. Errors: see handle::join().
  result<void> join(std::string_view group, completion<void> done);
  /// The next tick() sends the request. Errors: not_joined, bad_handle.
  result<void> leave(completion<void> done);
  /// Handles retries and deadlines.
  void tick(base::time_point now);
  /// A join or a leave has no outcome yet.
  [[nodiscard]] bool busy() const noexcept { return join_ || leave_; }
  [[nodiscard]] std::optional<base::time_point> next_deadline() const noexcept;

  // --- events
  struct change {
    const view* shown = nullptr;  // null: not visible to this handle
    own_change own = own_change::none;
  };
  change apply(const configuration& event);
  /// Changes the state as `own` of an applied change says. Called after the notices that must precede the new
  /// state have been added.
  void enter(own_change own);
  /// Null: not visible to this handle, because it is in no group.
  const view* apply(const totem_configuration& event);
  /// Holds the last view back: the next change is merged into it. False: it must be shown now, because it
  /// changed this handle or notices wait.
  bool hold_view();
  void show_view() noexcept { views_.show(); }
  [[nodiscard]] const view& current_view() const noexcept { return views_.current(); }

  // --- the end
  /// FINALIZE was requested: no further request is accepted.
  void begin_finalize() noexcept { finalizing_ = true; }
  [[nodiscard]] bool finalizing() const noexcept { return finalizing_; }
  void fail_requests(const error& why);
  /// `to`: lost or closed. No effect when the handle has ended already.
  void end(handle_state to, std::optional<error> cause);

 private:
  struct operation {  // a join or leave, from its call to its outcome
    base::time_point deadline;
    completion<void> done;
    std::optional<base::time_point> retry_at;
  };

  void move_to(handle_state to, std::optional<error> cause = std::nullopt);
  void complete(std::optional<operation>& which, result<void> outcome);
  void local_node_answered(const result<answer_bytes>& answer);
  void ask_join();
  void join_answered(const result<answer_bytes>& answer);
  void leave_answered(const result<answer_bytes>& answer);
  void tick_join(base::time_point now);
  void tick_leave(base::time_point now);

  const std::uint32_t pid_;
  std::uint32_t local_node_ = 0;
  handle_state state_ = handle_state::connecting;
  bool finalizing_ = false;
  bool removed_ = false;
  bool restoration_due_ = false;
  const base::nanoseconds control_deadline_;
  request_line& line_;
  std::deque<notice>& notices_;
  std::string group_;
  std::optional<operation> join_, leave_;
  std::optional<error> join_refusal_;
  view_builder views_;
};

}  // namespace cpgring::cpg
