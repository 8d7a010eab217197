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

// corosync asks for patience with TRY_AGAIN; libcpg's own users wait 1 to 100 ms.
constexpr auto retry_pause = std::chrono::milliseconds(5);
// How often a refused sender looks again: corosync re-checks its own flow control every millisecond.
constexpr auto writable_pause = std::chrono::milliseconds(1);
// Doorbell batches beyond this gain nothing (measured: 277 k/s at 32), and delay the first of them.
constexpr std::uint32_t staged_max = 32;

}  // namespace

session::session(session_options options)
    : options_(options),
      // An own message comes back with 184 bytes in front; 1024 is what libcpg keeps free of its 1 MiB.
      atomic_max_(std::min<std::size_t>(wire::atomic_payload_max, options.max_message_size - 1024)),
      assembler_(options.large_message_max) {}

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
  want_writable_ = false;
  settle_operation(join_, fail(why));
  settle_operation(leave_, fail(why));
  pending_.fail_all(why);
  auto unsent = std::exchange(outbox_, {});
  for (auto& one : unsent) {
    if (one.settle) {
      one.settle(fail(why));
    }
    if (one.written) {
      one.written();
    }
  }
  if (may_move(state_, handle_state::lost)) {
    move_to(handle_state::lost, std::move(why));
  }
}

void session::close(std::optional<error> cause) {
  const error why = cause ? *cause : error(errc::closed);
  abandon();
  want_writable_ = false;
  settle_operation(join_, fail(why));
  settle_operation(leave_, fail(why));
  pending_.give_up(why);
  for (auto& one : outbox_) {
    if (one.settle) {
      std::exchange(one.settle, nullptr)(fail(why));
    }
  }
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

void session::ask(std::vector<std::byte> request, std::uint32_t response_id, std::uint32_t response_size, base::time_point deadline,
                  settle_function settle) {
  entry e;
  e.bytes = std::move(request);
  e.response_id = response_id;
  e.response_size = response_size;
  e.deadline = deadline;
  e.settle = std::move(settle);
  outbox_.push_back(std::move(e));
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
  if (code == cs_ok) {
    return;  // the own view settles it
  }
  if ((code == cs_try_again || code == cs_busy) && join_) {
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
  if (code == cs_ok) {
    return;  // the own leave view settles it
  }
  if ((code == cs_try_again || code == cs_busy) && leave_) {
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

// --- multicast --------------------------------------------------------------------------------------------------------------

error session::refused() noexcept {
  want_writable_ = true;
  ++counts_.not_writable;
  return error(errc::try_again);
}

result<void> session::may_send(std::size_t bytes) const {
  if (auto ok = usable(); !ok) {
    return ok;
  }
  if (state_ != handle_state::joined) {
    return fail(errc::not_joined);
  }
  if (bytes > options_.large_message_max && bytes > atomic_max_) {
    return fail(errc::too_big,
                fmt::format("a message of {} bytes is above large_message_max ({}) of this handle", bytes, options_.large_message_max));
  }
  if (has_reservation_) {
    return fail(errc::busy, "a reservation is open on this handle; commit or drop it first");
  }
  return {};
}

bool session::write_message(pieces payload, std::size_t bytes) {
  if (connection_->writable() != ipc::writable::yes) {
    return false;
  }
  const std::size_t size = wire::multicast_request::data + bytes;
  std::byte* at = connection_->reserve(static_cast<std::uint32_t>(size));
  if (at == nullptr) {
    return false;
  }
  put_multicast_header(at, bytes);
  at += wire::multicast_request::data;
  for (const auto& piece : payload) {
    if (!piece.empty()) {
      std::memcpy(at, piece.data(), piece.size());
      at += piece.size();
    }
  }
  connection_->stage(static_cast<std::uint32_t>(size));
  ++counts_.multicasts;
  counts_.multicast_bytes += bytes;
  return true;
}

result<void> session::multicast(pieces payload, std::size_t bytes) {
  if (auto ok = may_send(bytes); !ok) {
    return ok;
  }
  if (!outbox_.empty()) {
    return fail(refused());
  }
  if (bytes > atomic_max_) {
    entry e;
    e.what = entry::kind::large;
    e.bytes.reserve(bytes);
    for (const auto& piece : payload) {
      e.bytes.insert(e.bytes.end(), piece.begin(), piece.end());
    }
    outbox_.push_back(std::move(e));
    return write_outbox();
  }
  if (!write_message(payload, bytes)) {
    // What is staged may be what fills the ring: let the service have it.
    if (auto ok = flush(); !ok) {
      return ok;
    }
    if (!write_message(payload, bytes)) {
      return fail(refused());
    }
  }
  if (corks_ == 0 || connection_->staged() >= staged_max) {
    return flush();
  }
  return {};
}

result<void> session::multicast_or_queue(std::span<const std::byte> payload, std::function<void()> written) {
  if (auto ok = may_send(payload.size()); !ok && ok.error() != errc::busy) {
    written();
    return ok;
  }
  if (outbox_.empty() && !has_reservation_ && payload.size() <= atomic_max_) {
    const std::span<const std::byte> one[] = {payload};
    if (write_message(one, payload.size())) {
      written();
      return connection_->staged() >= staged_max ? flush() : result<void>{};
    }
  }
  entry e;
  e.what = payload.size() > atomic_max_ ? entry::kind::large : entry::kind::message;
  e.bytes = outbox_.room();
  e.bytes.assign(payload.begin(), payload.end());
  e.written = std::move(written);
  outbox_.push_back(std::move(e));
  return write_outbox();
}

result<std::span<std::byte>> session::reserve(std::size_t bytes) {
  if (auto ok = may_send(bytes); !ok) {
    return fail(ok.error());
  }
  if (bytes > atomic_max_) {
    return fail(errc::too_big, fmt::format("a reservation has at most max_atomic_message() = {} bytes, asked for {}", atomic_max_, bytes));
  }
  if (!outbox_.empty() || connection_->writable() != ipc::writable::yes) {
    return fail(refused());
  }
  std::byte* at = connection_->reserve(static_cast<std::uint32_t>(wire::multicast_request::data + bytes));
  if (at == nullptr) {
    return fail(refused());
  }
  has_reservation_ = true;
  reserved_at_ = at;
  reserved_ = bytes;
  return std::span(at + wire::multicast_request::data, bytes);
}

result<void> session::commit(std::size_t bytes) {
  if (!has_reservation_) {
    return fail(errc::bad_handle, "the reservation is no longer open: its handle was closed or lost");
  }
  if (bytes > reserved_) {
    return fail(errc::too_big, fmt::format("commit of {} bytes into a reservation of {}", bytes, reserved_));
  }
  has_reservation_ = false;
  put_multicast_header(reserved_at_, bytes);
  connection_->stage(static_cast<std::uint32_t>(wire::multicast_request::data + bytes));
  ++counts_.multicasts;
  counts_.multicast_bytes += bytes;
  if (corks_ == 0 || connection_->staged() >= staged_max) {
    return flush();
  }
  return {};
}

void session::abandon() noexcept {
  if (std::exchange(has_reservation_, false) && connection_ != nullptr) {
    connection_->abandon();
  }
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

void session::write_fragment(entry& front) {
  const std::size_t total = front.bytes.size();
  const std::size_t part = std::min(atomic_max_, total - front.offset);
  const std::size_t size = wire::partial_multicast_request::data + part;
  std::byte* at =
      connection_->answers().room_for(wire::response_header_bytes) ? connection_->reserve(static_cast<std::uint32_t>(size)) : nullptr;
  if (at == nullptr) {
    return;
  }
  const auto type = front.offset == 0              ? wire::fragment_type::first
                    : front.offset + part == total ? wire::fragment_type::last
                                                   : wire::fragment_type::middle;
  put_fragment_header(at, total, part, type);
  std::memcpy(at + wire::partial_multicast_request::data, front.bytes.data() + front.offset, part);
  connection_->stage(static_cast<std::uint32_t>(size));
  front.offset += part;
  fragment_in_flight_ = true;
  const std::uint64_t token =
      pending_.add(base::time_point::max(), [this](const result<answer_bytes>& answer) { fragment_answered(answer); });
  connection_->answers().expect(static_cast<std::uint32_t>(wire::response::partial_multicast), wire::response_header_bytes, token);
}

void session::fragment_answered(const result<answer_bytes>& answer) {
  fragment_in_flight_ = false;
  if (!answer || outbox_.empty()) {
    return;  // lose() drops what was not sent
  }
  entry& front = outbox_.front();
  const std::int32_t code = answer_error(*answer);
  if (code == cs_ok) {
    front.deadline = now_ + options_.control_deadline;
    if (front.offset < front.bytes.size()) {
      return;
    }
    ++counts_.multicasts;
    counts_.multicast_bytes += front.bytes.size();
  } else if ((code == cs_try_again || code == cs_interrupt) && now_ < front.deadline) {
    // TRY_AGAIN: this fragment was not taken. INTERRUPT: a membership change tore the message; receivers drop their half at the next
    // `first`.
    const std::size_t part = front.offset % atomic_max_ == 0 ? atomic_max_ : front.offset % atomic_max_;
    front.offset = code == cs_interrupt ? 0 : front.offset - part;
    fragment_retry_at_ = now_ + retry_pause;
    return;
  } else {
    notice n;
    n.what = notice::kind::aborted;
    n.aborted = fragment_assembler::aborted{local_node_, options_.pid, front.offset, front.bytes.size(),
                                            service_error(code, "a fragment of a large message")};
    notices.push_back(std::move(n));
  }
  if (front.written) {
    front.written();
  }
  outbox_.pop_front();
}

result<bool> session::write_front() {
  entry& front = outbox_.front();
  switch (front.what) {
    case entry::kind::control: {
      if (!connection_->answers().room_for(front.response_size)) {
        return false;
      }
      std::byte* at = connection_->reserve(static_cast<std::uint32_t>(front.bytes.size()));
      if (at == nullptr) {
        return false;
      }
      std::memcpy(at, front.bytes.data(), front.bytes.size());
      connection_->stage(static_cast<std::uint32_t>(front.bytes.size()));
      const std::uint64_t token = pending_.add(front.deadline, std::move(front.settle));
      connection_->answers().expect(front.response_id, front.response_size, token);
      outbox_.pop_front();
      return true;
    }
    case entry::kind::message: {
      const std::span<const std::byte> one[] = {front.bytes};
      if (!write_message(one, front.bytes.size())) {
        return false;
      }
      if (front.written) {
        front.written();
      }
      outbox_.pop_front();
      return true;
    }
    case entry::kind::large: {
      if (fragment_in_flight_ || fragment_retry_at_) {
        return false;
      }
      if (front.deadline == base::time_point{}) {
        front.deadline = now_ + options_.control_deadline;
      }
      write_fragment(front);
      return false;  // nothing behind it may leave before its answer
    }
  }
  return false;
}

result<void> session::write_outbox() {
  while (!outbox_.empty() && !has_reservation_ && connection_->writable() == ipc::writable::yes) {
    auto wrote = write_front();
    if (!wrote) {
      return fail(wrote.error());
    }
    if (!*wrote) {
      break;
    }
    if (connection_->staged() >= staged_max) {
      if (auto ok = flush(); !ok) {
        return ok;
      }
    }
  }
  return corks_ == 0 ? flush() : result<void>{};
}

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
  if (!outbox_.empty()) {
    if (auto ok = write_outbox(); !ok) {
      return ok;
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
    return fail(errc::timeout,
                fmt::format("{} did not come through before the deadline; is the service stopped or in a long sync phase?", what));
  };
  pending_.expire(now);
  for (auto& one : outbox_) {  // asked, but held back by flow control until now
    if (one.what == entry::kind::control && one.settle && one.deadline <= now) {
      settle_function settle = std::exchange(one.settle, nullptr);
      settle(fail(errc::timeout, "the service held requests back until the deadline"));
    }
  }
  if (join_ && join_->deadline <= now) {
    settle_operation(join_, timed_out("the join"));
  } else if (join_ && join_->retry_at && *join_->retry_at <= now) {
    join_->retry_at.reset();
    ask_join(now);
  }
  if (leave_ && leave_->deadline <= now) {
    settle_operation(leave_, timed_out("the leave"));
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
  if (connection_ != nullptr && (want_writable_ || (!outbox_.empty() && !fragment_in_flight_))) {
    consider(now + writable_pause);
  }
  return earliest;
}

// --- events -----------------------------------------------------------------------------------------------------------------

const view* session::configuration_changed(const configuration& change, std::vector<fragment_assembler::aborted>& aborted) {
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
      move_to(handle_state::left);
      settle_operation(leave_, {});
    } else if (state_ == handle_state::joined) {
      removed_ = true;
    }
  }
  return &v;
}

const view* session::ring_changed(const totem_configuration& change) {
  if (!takes_messages()) {
    views_.note_ring(change.ring);
    return nullptr;
  }
  return &views_.apply(change, group_);
}

}  // namespace cpgring::cpg
