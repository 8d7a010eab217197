// What a session sends to its group: messages in place, queued, in fragments, awaited.
#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/check.hpp"
#include "cpg/answer.hpp"
#include "cpg/encode.hpp"
#include "cpg/session.hpp"

namespace cpgring::cpg {
namespace {

// Doorbell batches beyond this gain nothing (measured: 277 k/s at 32), and delay the first of them.
constexpr std::uint32_t staged_max = 32;
// What one look writes of a long queue before others have their turn: as much as one handle's events may take.
constexpr std::size_t look_bytes_max = 65536;

}  // namespace

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

bool session::write_message(pieces payload, std::size_t bytes, awaited* waits) {
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
  awaited_.written(waits);
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
    stand_in_line(std::move(e));
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
  e.bytes = outbox_.bytes();
  e.bytes.assign(payload.begin(), payload.end());
  e.written = std::move(written);
  stand_in_line(std::move(e));
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
  awaited_.written(nullptr);
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

// --- what waits to be written -------------------------------------------------------------------------------------------------

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
  if (!std::exchange(front.numbered, true)) {
    awaited_.written(front.waits);
  }
  front.offset += part;
  fragment_in_flight_ = true;
  const std::uint64_t token = pending_.add(
      base::time_point::max(), [this](const result<answer_bytes>& answer) { fragment_answered(answer); }, true);
  connection_->answers().expect(static_cast<std::uint32_t>(wire::response::partial_multicast), wire::response_header_bytes, token);
}

void session::fragment_answered(const result<answer_bytes>& answer) {
  fragment_in_flight_ = false;
  if (!answer || outbox_.empty()) {
    return;  // lost: what was not sent is dropped
  }
  entry& front = outbox_.front();
  const std::int32_t code = answer_error(*answer);
  if (code == wire::status::ok) {
    front.deadline = now_ + options_.control_deadline;
    if (front.offset < front.bytes.size()) {
      return;
    }
    ++counts_.multicasts;
    counts_.multicast_bytes += front.bytes.size();
  } else if ((code == wire::status::try_again || code == wire::status::interrupt) && now_ < front.deadline) {
    // TRY_AGAIN: this fragment was not taken. INTERRUPT: a membership change tore the message; receivers drop their half at the next
    // `first`.
    const std::size_t part = front.offset % atomic_max_ == 0 ? atomic_max_ : front.offset % atomic_max_;
    front.offset = code == wire::status::interrupt ? 0 : front.offset - part;
    fragment_retry_at_ = now_ + retry_pause;
    return;
  } else {
    notice n;
    n.what = notice::kind::aborted;
    n.aborted = fragment_assembler::aborted{local_node_, options_.pid, front.offset, front.bytes.size(),
                                            service_error(code, "a fragment of a large message")};
    notices.push_back(std::move(n));
    awaited_.torn(front.waits);
    if (front.waits != nullptr && !front.waits->decided()) {
      give_up(*front.waits, service_error(code, "a fragment of a large message"));
    }
  }
  if (front.written) {
    front.written();
  }
  outbox_.pop_front();
}

bool session::write_request(entry& one) {
  const auto size = static_cast<std::uint32_t>(one.bytes.size());
  std::byte* at = connection_->answers().room_for(one.response_size) ? connection_->reserve(size) : nullptr;
  if (at == nullptr) {
    return false;
  }
  std::memcpy(at, one.bytes.data(), size);
  connection_->stage(size);
  settle_function settle = std::move(one.settle);
  if (one.what == entry::kind::question) {
    ++questions_out_;
    settle = [this, then = std::move(settle)](const result<answer_bytes>& answer) {
      --questions_out_;
      if (then) {
        then(answer);
      }
    };
  }
  const std::uint64_t token = pending_.add(one.deadline, std::move(settle), false, std::move(one.late));
  connection_->answers().expect(one.response_id, one.response_size, token);
  return true;
}

result<bool> session::write_front() {
  entry& front = outbox_.front();
  switch (front.what) {
    case entry::kind::question:  // never in this line
    case entry::kind::control:
      if (!write_request(front)) {
        return false;
      }
      outbox_.pop_front();
      return true;
    case entry::kind::message: {
      const std::span<const std::byte> one[] = {front.bytes};
      if (!write_message(one, front.bytes.size(), front.waits)) {
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
  std::size_t wrote_bytes = 0;
  more_to_write_ = false;
  while (!outbox_.empty() && !has_reservation_ && connection_->writable() == ipc::writable::yes) {
    const std::size_t bytes = outbox_.front().bytes.size();
    if (wrote_bytes != 0 && wrote_bytes + bytes > look_bytes_max) {
      more_to_write_ = true;
      break;
    }
    auto wrote = write_front();
    if (!wrote) {
      return fail(wrote.error());
    }
    if (!*wrote) {
      break;
    }
    wrote_bytes += bytes;
    if (connection_->staged() >= staged_max) {
      if (auto ok = flush(); !ok) {
        return ok;
      }
    }
  }
  return corks_ == 0 ? flush() : result<void>{};
}

// --- awaited ------------------------------------------------------------------------------------------------------------------

result<void> session::multicast_awaited(pieces payload, std::size_t bytes, base::time_point deadline, awaited::told_function done) {
  if (auto ok = may_send(bytes); !ok && ok.error() != errc::busy) {
    return ok;
  }
  awaited& waits = awaited_.add(bytes, deadline, std::move(done));
  if (outbox_.empty() && !has_reservation_ && bytes <= atomic_max_) {
    if (write_message(payload, bytes, &waits) || (flush() && write_message(payload, bytes, &waits))) {
      // A doorbell that fails means that the socket is gone: then lose() tells.
      static_cast<void>(corks_ == 0 || connection_->staged() >= staged_max ? flush() : result<void>{});
      return {};
    }
  }
  entry e;
  e.what = bytes > atomic_max_ ? entry::kind::large : entry::kind::message;
  e.bytes = outbox_.bytes();
  e.bytes.reserve(bytes);
  for (const auto& piece : payload) {
    e.bytes.insert(e.bytes.end(), piece.begin(), piece.end());
  }
  e.waits = &waits;
  stand_in_line(std::move(e));
  static_cast<void>(write_outbox());
  return {};
}

result<awaited*> session::came_back(std::size_t bytes) {
  awaited* const one = awaited_.came_back();
  if (one != nullptr && one->bytes() != bytes) {
    const error why(errc::malformed,
                    fmt::format("an own message of {} bytes came back with {}; this connection ended", one->bytes(), bytes));
    if (!one->decided()) {
      give_up(*one, why);
    }
    return fail(why);
  }
  return one != nullptr && !one->decided() ? one : nullptr;
}

/// Its own message will not come, or is not waited for any longer.
void session::give_up(awaited& one, const error& why) {
  awaited_.fail(one, why);
  tell(one);
}

void session::tell(awaited& one) {
  notice n;
  n.settle = [&one] { one.tell(); };
  notices.push_back(std::move(n));
}

void session::give_up_awaited(const error& why) {
  awaited_.each_open([&](awaited& one) { give_up(one, why); });
  awaited_.close_window();
}

void session::expire_awaited(base::time_point now) {
  bool unsent = false;
  awaited_.expire(now, [&](awaited& one) {
    unsent = unsent || !one.written();
    give_up(one, error(errc::timeout, one.written() ? "sent, but not back before the deadline; it may still be ordered"
                                                    : "the service did not take it before the deadline; it will not be sent"));
  });
  if (unsent) {
    outbox_.erase_if([](const entry& e) { return e.waits != nullptr && e.waits->decided() && !e.waits->written(); });
  }
}

}  // namespace cpgring::cpg
