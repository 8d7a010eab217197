#include "cpg/session.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/check.hpp"
#include "cpg/answer.hpp"
#include "cpg/encode.hpp"
#include "cpg/handle_transitions.hpp"

namespace cpgring::cpg {
namespace {

// How often a refused sender looks again: corosync re-checks its own flow control every millisecond.
constexpr auto writable_pause = std::chrono::milliseconds(1);

}  // namespace

session::session(session_options options, outbox_room& room)
    : options_(options),
      // An own message comes back with 184 bytes in front; 1024 is what libcpg keeps free of its 1 MiB.
      atomic_max_(std::min<std::size_t>(wire::atomic_payload_max, options.max_message_size - 1024)),
      outbox_(room),
      assembler_(options.large_message_max, 2 * options.large_message_max) {}

// --- life -------------------------------------------------------------------------------------------------------------------

void session::attach(std::unique_ptr<ipc::connection> connection, base::time_point now) {
  now_ = now;
  connection_ = std::move(connection);
  ask(make_request(wire::request::local_get, wire::local_get_request::bytes), static_cast<std::uint32_t>(wire::response::local_get),
      wire::local_get_response::bytes, base::time_point::max(), [this](const result<answer_bytes>& answer) {
        if (!answer) {
          return;  // lose() tells
        }
        if (answer->size() >= wire::local_get_response::bytes) {
          local_node_ = base::read_once_u32(answer->data() + wire::local_get_response::node);
        }
        move_to(handle_state::ready);
        if (std::exchange(restoration_due_, false)) {
          notice n;
          n.what = notice::kind::restored;
          notices.push_back(std::move(n));
        }
        if (join_) {
          ask_join(now_);
        }
      });
}

void session::move_to(handle_state to, std::optional<error> cause) {
  CPGRING_CHECK(may_move(state_, to));
  notice n;
  n.what = notice::kind::state;
  n.from = std::exchange(state_, to);
  n.to = to;
  n.cause = std::move(cause);
  notices.push_back(std::move(n));
}

void session::lose(error why) {
  want_writable_ = more_to_write_ = false;
  asks_no_more_ = true;
  give_up_awaited(why);
  settle_operation(join_, fail(why));
  settle_operation(leave_, fail(why));
  pending_.fail_all(why);
  auto unsent = outbox_.take_all();
  for (auto& one : unsent) {
    if (one.settle) {
      one.settle(fail(why));
    }
    if (one.written) {
      one.written();
    }
  }
  give_up_questions(why);
  answers_to_notices(answers.size());  // the new state is the last that is heard
  if (may_move(state_, handle_state::lost)) {
    move_to(handle_state::lost, std::move(why));
  }
}

void session::close(std::optional<error> cause, awaited_later later) {
  const error why = cause ? *cause : error(errc::closed);
  abandon();
  want_writable_ = false;
  asks_no_more_ = true;
  settle_operation(join_, fail(why));
  settle_operation(leave_, fail(why));
  pending_.give_up(why);
  give_up_questions(why);
  for (auto& one : outbox_) {
    if (one.settle) {
      std::exchange(one.settle, nullptr)(fail(why));
    }
  }
  if (later == awaited_later::no) {
    for (auto& one : outbox_) {
      one.waits = nullptr;
    }
    awaited_.all_may_get_there();  // what is in the outbox too
    give_up_awaited(why);
  }
  answers_to_notices(answers.size());
  if (may_move(state_, handle_state::closed)) {
    move_to(handle_state::closed, std::move(cause));
  }
}

void session::finalize(base::time_point deadline, std::function<void()> done) {
  want_writable_ = false;
  if (connection_ == nullptr) {
    done();
    return;
  }
  abandon();
  finalizing_ = true;
  ask(make_request(wire::request::finalize, wire::finalize_request::bytes), static_cast<std::uint32_t>(wire::response::finalize),
      wire::response_header_bytes, deadline, [done = std::move(done)](const result<answer_bytes>&) { done(); });
}

result<void> session::usable() const {
  if (state_ == handle_state::closed || state_ == handle_state::lost || finalizing_) {
    return fail(errc::bad_handle);
  }
  return {};
}

void session::settle_operation(std::optional<operation>& which, result<void> outcome) {
  if (!which) {
    return;
  }
  completion done = std::move(which->done);
  which.reset();
  if (done) {
    notice n;
    n.settle = [done = std::move(done), outcome = std::move(outcome)] { done(outcome); };
    notices.push_back(std::move(n));
  }
}

// --- requests ---------------------------------------------------------------------------------------------------------------

session::entry session::request_entry(std::vector<std::byte> request, std::uint32_t response_id, std::uint32_t response_size,
                                      base::time_point deadline, settle_function settle) {
  entry e;
  e.bytes = std::move(request);
  e.response_id = response_id;
  e.response_size = response_size;
  e.deadline = deadline;
  e.settle = std::move(settle);
  return e;
}

void session::ask(std::vector<std::byte> request, std::uint32_t response_id, std::uint32_t response_size, base::time_point deadline,
                  settle_function settle) {
  stand_in_line(request_entry(std::move(request), response_id, response_size, deadline, std::move(settle)));
}

result<void> session::join(std::string_view group, completion done, base::time_point now) {
  if (auto ok = usable(); !ok) {
    return ok;
  }
  if (group.empty()) {
    return fail(errc::invalid_param, "a group name has 1 to 128 bytes; the empty one would leave ghost members behind");
  }
  if (group.size() > wire::name_text_max) {
    return fail(errc::name_too_long, fmt::format("a group name has 1 to 128 bytes, this one has {}", group.size()));
  }
  if (state_ == handle_state::left) {
    return fail(errc::spent);
  }
  if (join_ || (state_ != handle_state::connecting && state_ != handle_state::ready)) {
    return fail(errc::exist, fmt::format("the handle is already {}; one handle is in one group", to_string(state_)));
  }
  group_ = group;
  join_ = operation{now + options_.control_deadline, std::move(done), std::nullopt};
  if (state_ == handle_state::ready) {
    ask_join(now);
  }
  return {};
}

void session::ask_join(base::time_point now) {
  now_ = now;
  namespace w = wire::join_request;
  auto request = make_request(wire::request::join, w::bytes);
  put_name(request.data() + w::name, group_);
  put(request.data() + w::pid, options_.pid);
  put(request.data() + w::flags, w::flag_initial_totem_configuration);
  if (state_ == handle_state::ready) {
    move_to(handle_state::joining);
  }
  ask(std::move(request), static_cast<std::uint32_t>(wire::response::join), wire::response_header_bytes, base::time_point::max(),
      [this](const result<answer_bytes>& answer) { join_answered(answer); });
}

void session::join_answered(const result<answer_bytes>& answer) {
  if (!answer) {
    return;  // lose() has settled the join
  }
  const std::int32_t code = answer_error(*answer);
  if (code == wire::status::ok) {
    return;  // the own view settles it
  }
  if ((code == wire::status::try_again || code == wire::status::busy) && join_) {
    join_->retry_at = now_ + retry_pause;
    return;
  }
  if (state_ == handle_state::joining) {
    const error why = service_error(code, fmt::format("to join group '{}'", group_));
    group_.clear();
    join_refusal_ = why;
    move_to(handle_state::ready, why);
    settle_operation(join_, fail(why));
  }
}

result<void> session::leave(completion done, base::time_point now) {
  if (auto ok = usable(); !ok) {
    return ok;
  }
  if (state_ != handle_state::joined) {
    return fail(errc::not_joined, fmt::format("only a joined handle can leave; this one is {}", to_string(state_)));
  }
  leave_ = operation{now + options_.control_deadline, std::move(done), now};
  move_to(handle_state::leaving);
  return tick(now);
}

void session::leave_answered(const result<answer_bytes>& answer) {
  if (!answer) {
    return;
  }
  const std::int32_t code = answer_error(*answer);
  if (code == wire::status::ok) {
    return;  // the own leave view settles it
  }
  if ((code == wire::status::try_again || code == wire::status::busy) && leave_) {
    leave_->retry_at = now_ + retry_pause;
    return;
  }
  if (state_ == handle_state::leaving) {
    const error why = service_error(code, fmt::format("to leave group '{}'", group_));
    move_to(handle_state::joined, why);
    settle_operation(leave_, fail(why));
  }
}

void session::poke() {
  if (poking_ || finalizing_ || connection_ == nullptr) {
    return;
  }
  poking_ = true;
  ++counts_.pokes;
  ask(make_request(wire::request::local_get, wire::local_get_request::bytes), static_cast<std::uint32_t>(wire::response::local_get),
      wire::local_get_response::bytes, base::time_point::max(), [this](const result<answer_bytes>&) { poking_ = false; });
}

// --- progress ---------------------------------------------------------------------------------------------------------------

result<void> session::flush() {
  if (connection_ == nullptr || connection_->staged() == 0) {
    return {};
  }
  ++counts_.doorbells;
  return connection_->flush();
}

result<void> session::uncork() { return --corks_ == 0 ? flush() : result<void>{}; }

result<void> session::take_answers() {
  auto& answers = connection_->answers();
  ipc::answer one;
  for (;;) {
    switch (answers.next(one)) {
      case ipc::look::empty: return {};
      case ipc::look::broken: return fail(answers.fault());
      case ipc::look::frame: break;
    }
    if (!pending_.settle(one.token, answer_bytes(one.bytes.data, one.bytes.size))) {
      return fail(errc::malformed, "an answer came that nothing had asked for; this connection ended");
    }
  }
}

result<void> session::progress(base::time_point now) {
  now_ = now;
  if (connection_ == nullptr) {
    return {};
  }
  if (!pending_.empty()) {
    if (auto ok = take_answers(); !ok) {
      return ok;
    }
  }
  if (!questions_.empty()) {
    if (auto ok = write_questions(); !ok) {
      return ok;
    }
  }
  if (!outbox_.empty()) {
    if (auto ok = write_outbox(); !ok) {
      return ok;
    }
    if (!questions_.empty() && outbox_.empty()) {
      if (auto ok = write_questions(); !ok) {
        return ok;
      }
    }
  }
  if (want_writable_ && outbox_.empty() && !has_reservation_ && connection_->writable() == ipc::writable::yes) {
    want_writable_ = false;
    notice n;
    n.what = notice::kind::writable;
    notices.push_back(std::move(n));
  }
  return {};
}

result<void> session::tick(base::time_point now) {
  now_ = now;
  const auto timed_out = [](std::string_view what) {
    return error(errc::timeout,
                 fmt::format("{} did not come through before the deadline; is the service stopped or in a long sync phase?", what));
  };
  pending_.expire(now);
  expire_awaited(now);
  expire_questions(now);
  for (auto& one : outbox_) {  // asked, but held back by flow control until now
    if (one.what == entry::kind::control && one.settle && one.deadline <= now) {
      settle_function settle = std::exchange(one.settle, nullptr);
      settle(fail(errc::timeout, "the service held requests back until the deadline"));
    }
  }
  // With a retry due nothing is under way: the last answer was "not now", and nothing will come of it any more. The same ahead of the first
  // request.
  if (join_ && join_->deadline <= now) {
    const auto why = timed_out("the join");
    if (join_->retry_at || state_ == handle_state::connecting) {
      group_.clear();
      join_refusal_ = why;
      if (state_ == handle_state::joining) {
        move_to(handle_state::ready, why);
      }
    }
    settle_operation(join_, fail(why));
  } else if (join_ && join_->retry_at && *join_->retry_at <= now) {
    join_->retry_at.reset();
    ask_join(now);
  }
  if (leave_ && leave_->deadline <= now) {
    const auto why = timed_out("the leave");
    if (leave_->retry_at && state_ == handle_state::leaving) {
      move_to(handle_state::joined, why);
    }
    settle_operation(leave_, fail(why));
  } else if (leave_ && leave_->retry_at && *leave_->retry_at <= now) {
    leave_->retry_at.reset();
    namespace w = wire::leave_request;
    auto request = make_request(wire::request::leave, w::bytes);
    put_name(request.data() + w::name, group_);
    put(request.data() + w::pid, options_.pid);
    ask(std::move(request), static_cast<std::uint32_t>(wire::response::leave), wire::response_header_bytes, base::time_point::max(),
        [this](const result<answer_bytes>& answer) { leave_answered(answer); });
  }
  if (fragment_retry_at_ && *fragment_retry_at_ <= now) {
    fragment_retry_at_.reset();
  }
  return progress(now);
}

std::optional<base::time_point> session::next_deadline(base::time_point now) const noexcept {
  std::optional<base::time_point> earliest = pending_.next_deadline();
  const auto consider = [&earliest](std::optional<base::time_point> at) {
    if (at && (!earliest || *at < *earliest)) {
      earliest = at;
    }
  };
  for (const auto* one : {&join_, &leave_}) {
    if (*one) {
      consider((*one)->deadline);
      consider((*one)->retry_at);
    }
  }
  consider(fragment_retry_at_);
  consider(awaited_.next_deadline());
  for (const auto& one : questions_) {
    consider(one.deadline);
  }
  for (const auto& one : walks_) {
    consider(one.deadline);
  }
  const bool held_back = (!outbox_.empty() && !fragment_in_flight_) || (!questions_.empty() && questions_out_ == 0);
  if (connection_ != nullptr && (want_writable_ || held_back)) {
    consider(now + writable_pause);
  }
  return earliest;
}

// --- events -----------------------------------------------------------------------------------------------------------------

const view* session::configuration_changed(const configuration& change, std::vector<fragment_assembler::aborted>& aborted) {
  if (state_ == handle_state::left) {
    return nullptr;
  }
  const view& v = views_.apply(change, group_);
  const auto self = [this](const member& m) { return m.node_id == local_node_ && m.pid == options_.pid; };
  for (const member& gone : v.left) {
    if (auto half = assembler_.left(gone.node_id, gone.pid)) {
      aborted.push_back(std::move(*half));
    }
  }
  if (state_ == handle_state::joining && std::any_of(v.joined.begin(), v.joined.end(), self)) {
    move_to(handle_state::joined);
    settle_operation(join_, {});
  } else if (std::any_of(v.left.begin(), v.left.end(), self) && std::none_of(v.joined.begin(), v.joined.end(), self)) {
    if (state_ == handle_state::leaving) {
      give_up_awaited(error(errc::not_joined, "the handle has left its group"));
      move_to(handle_state::left);
      settle_operation(leave_, {});
    } else if (state_ == handle_state::joined) {
      removed_ = true;
    }
  }
  return &v;
}

bool session::hold_view() {
  if (!notices.empty() || removed_) {
    return false;
  }
  views_.hold();
  return true;
}

const view* session::ring_changed(const totem_configuration& change) {
  if (!takes_messages()) {
    views_.note_ring(change);
    return nullptr;
  }
  return &views_.apply(change, group_);
}

}  // namespace cpgring::cpg
