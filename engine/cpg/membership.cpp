#include "cpg/membership.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.hpp"
#include "cpg/handle_transitions.hpp"

namespace cpgring::cpg {
namespace {

error timed_out(std::string_view what) {
  return {
      errc::timeout,
      fmt::format("{} was not completed before the deadline; is the service stopped or in a long sync phase?",
                  what)};
}

}  // namespace

// --- state

result<void> membership::usable() const {
  if (state_ == handle_state::closed || state_ == handle_state::lost || finalizing_) {
    return fail(errc::bad_handle);
  }
  return {};
}

void membership::move_to(handle_state to, std::optional<error> cause) {
  CPGRING_CHECK(may_move(state_, to));
  notices_.push_back(state_changed{std::exchange(state_, to), to, std::move(cause)});
}

void membership::complete(std::optional<operation>& which, result<void> outcome) {
  if (!which) {
    return;
  }
  completion<void> done = std::move(which->done);
  which.reset();
  if (done) {
    notices_.push_back(completed{
        [done = std::move(done), outcome = std::move(outcome)]() mutable { done(std::move(outcome)); }});
  }
}

// --- requests

void membership::begin() {
  line_.ask(encode_local_get(), base::time_point::max(),
            [this](const result<answer_bytes>& answer) { local_node_answered(answer); });
}

void membership::local_node_answered(const result<answer_bytes>& answer) {
  if (!answer) {
    return;  // the connection has ended; end() reports it
  }
  local_node_ = decode_local_node(*answer).value_or(0);
  move_to(handle_state::ready);
  if (std::exchange(restoration_due_, false)) {
    notices_.push_back(restored{});
  }
  if (join_) {
    ask_join();
  }
}

result<void> membership::join(std::string_view group, completion<void> done) {
  if (auto ok = usable(); !ok) {
    return ok;
  }
  if (group.empty()) {
    return fail(errc::invalid_param,
                "a group name has 1 to 128 bytes; an empty name would leave ghost members behind");
  }
  if (group.size() > wire::name_text_max) {
    return fail(errc::name_too_long,
                fmt::format("a group name has 1 to 128 bytes, this one has {}", group.size()));
  }
  if (state_ == handle_state::left) {
    return fail(errc::spent);
  }
  if (join_ || (state_ != handle_state::connecting && state_ != handle_state::ready)) {
    return fail(errc::exist, fmt::format("the handle is already {}; a handle can be in one group only",
                                         to_string(state_)));
  }
  group_ = group;
  join_ = operation{line_.now() + control_deadline_, std::move(done), std::nullopt};
  if (state_ == handle_state::ready) {
    ask_join();
  }
  return {};
}

void membership::ask_join() {
  if (state_ == handle_state::ready) {
    move_to(handle_state::joining);
  }
  line_.ask(encode_join(group_, pid_, wire::join_request::flag_initial_totem_configuration),
            base::time_point::max(), [this](const result<answer_bytes>& answer) { join_answered(answer); });
}

void membership::join_answered(const result<answer_bytes>& answer) {
  if (!answer || status_of(*answer) == wire::status::ok) {
    return;  // the own view, or the end of the connection, completes the join
  }
  const std::int32_t status = status_of(*answer);
  if (asks_for_a_retry(status) && join_) {
    join_->retry_at = line_.now() + retry_pause;
    return;
  }
  if (state_ == handle_state::joining) {
    const error why = service_error(status, fmt::format("to join group '{}'", group_));
    group_.clear();
    join_refusal_ = why;
    move_to(handle_state::ready, why);
    complete(join_, fail(why));
  }
}

result<void> membership::leave(completion<void> done) {
  if (auto ok = usable(); !ok) {
    return ok;
  }
  if (state_ != handle_state::joined) {
    return fail(errc::not_joined,
                fmt::format("only a joined handle can leave; this one is {}", to_string(state_)));
  }
  leave_ = operation{line_.now() + control_deadline_, std::move(done), line_.now()};
  move_to(handle_state::leaving);  // tick() sends the request
  return {};
}

void membership::leave_answered(const result<answer_bytes>& answer) {
  if (!answer || status_of(*answer) == wire::status::ok) {
    return;
  }
  const std::int32_t status = status_of(*answer);
  if (asks_for_a_retry(status) && leave_) {
    leave_->retry_at = line_.now() + retry_pause;
    return;
  }
  if (state_ == handle_state::leaving) {
    const error why = service_error(status, fmt::format("to leave group '{}'", group_));
    move_to(handle_state::joined, why);
    complete(leave_, fail(why));
  }
}

// While retry_at is set no request is under way, because the service refused the last one for now. A deadline
// that passes then means that the request has no effect any more. The same holds before the first request.

void membership::tick_join(base::time_point now) {
  if (join_ && join_->deadline <= now) {
    const auto why = timed_out("the join");
    if (join_->retry_at || state_ == handle_state::connecting) {
      group_.clear();
      join_refusal_ = why;
      if (state_ == handle_state::joining) {
        move_to(handle_state::ready, why);
      }
    }
    complete(join_, fail(why));
  } else if (join_ && join_->retry_at && *join_->retry_at <= now) {
    join_->retry_at.reset();
    ask_join();
  }
}

void membership::tick_leave(base::time_point now) {
  if (leave_ && leave_->deadline <= now) {
    const auto why = timed_out("the leave");
    if (leave_->retry_at && state_ == handle_state::leaving) {
      move_to(handle_state::joined, why);
    }
    complete(leave_, fail(why));
  } else if (leave_ && leave_->retry_at && *leave_->retry_at <= now) {
    leave_->retry_at.reset();
    line_.ask(encode_leave(group_, pid_), base::time_point::max(),
              [this](const result<answer_bytes>& answer) { leave_answered(answer); });
  }
}

void membership::tick(base::time_point now) {
  tick_join(now);
  tick_leave(now);
}

std::optional<base::time_point> membership::next_deadline() const noexcept {
  std::optional<base::time_point> earliest;
  for (const auto* one : {&join_, &leave_}) {
    if (*one) {
      const auto at = std::min((*one)->deadline, (*one)->retry_at.value_or(base::time_point::max()));
      earliest = earliest ? std::min(*earliest, at) : at;
    }
  }
  return earliest;
}

// --- events

membership::change membership::apply(const configuration& event) {
  if (state_ == handle_state::left) {
    return {};
  }
  const view& v = views_.apply(event, group_);
  const auto self = [this](const member& m) { return is_own(m.node_id, m.pid); };
  const bool came = std::any_of(v.joined.begin(), v.joined.end(), self);
  const bool went = !came && std::any_of(v.left.begin(), v.left.end(), self);
  if (state_ == handle_state::joining && came) {
    return {&v, own_change::joined};
  }
  if (went && state_ == handle_state::leaving) {
    return {&v, own_change::left};
  }
  return {&v, went && state_ == handle_state::joined ? own_change::removed : own_change::none};
}

void membership::enter(own_change own) {
  switch (own) {
    case own_change::none: return;
    case own_change::joined:
      move_to(handle_state::joined);
      complete(join_, {});
      return;
    case own_change::left:
      move_to(handle_state::left);
      complete(leave_, {});
      return;
    case own_change::removed: removed_ = true; return;
  }
}

const view* membership::apply(const totem_configuration& event) {
  if (!takes_messages()) {
    views_.note_ring(event);
    return nullptr;
  }
  return &views_.apply(event, group_);
}

bool membership::hold_view() {
  if (!notices_.empty() || removed_) {
    return false;
  }
  views_.hold();
  return true;
}

// --- the end

void membership::fail_requests(const error& why) {
  complete(join_, fail(why));
  complete(leave_, fail(why));
}

void membership::end(handle_state to, std::optional<error> cause) {
  if (may_move(state_, to)) {
    move_to(to, std::move(cause));
  }
}

}  // namespace cpgring::cpg
