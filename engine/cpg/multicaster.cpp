#include "cpg/multicaster.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/hot.hpp"
#include "cpg/not_joined.hpp"
#include "cpg/requests.hpp"

namespace cpgring::cpg {

// --- sending

error multicaster::refuse() noexcept {
  refused_ = true;
  ++counts_.refused;
  return error(errc::try_again);
}

CPGRING_HOT result<void> multicaster::may_send(std::size_t bytes) const {
  if (auto ok = self_.usable(); !ok) {
    return ok;
  }
  if (self_.state() != handle_state::joined) {
    return not_joined(self_.state());
  }
  if (auto ok = queue_.check_size(bytes); !ok) {
    return ok;
  }
  if (line_.reserved()) {
    return fail(errc::busy, "a reservation is open on this handle; commit or drop it first");
  }
  return {};
}

CPGRING_HOT bool multicaster::write(multicast_pieces payload, std::size_t bytes) {
  const std::size_t size = wire::multicast_request::data + bytes;
  std::byte* at = line_.room(size);
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
  line_.stage(size);
  ++written_;
  count(bytes);
  return true;
}

void multicaster::push(multicast_pieces payload, std::size_t bytes, std::size_t counted) {
  queue_.push(payload, bytes, counted);
  note_waiting();
}

CPGRING_HOT result<void> multicaster::multicast(multicast_pieces payload, std::size_t bytes) {
  if (auto ok = may_send(bytes); !ok) {
    return ok;
  }
  if (!may_write_at_once()) {
    return fail(refuse());
  }
  if (bytes > queue_.limits().atomic_max) {
    push(payload, bytes, 0);
    return line_.write(*this);
  }
  if (!write(payload, bytes)) {
    // The ring may be full of staged requests: publish them, then try again.
    if (auto ok = line_.flush(); !ok) {
      return ok;
    }
    if (!write(payload, bytes)) {
      return fail(refuse());
    }
  }
  return line_.flush_if_due();
}

result<void> multicaster::multicast_or_queue(std::span<const std::byte> payload) {
  const std::size_t bytes = payload.size();
  if (auto ok = may_send(bytes); !ok && ok.error() != errc::busy) {
    queue_.release(bytes);
    return ok;
  }
  const std::span<const std::byte> one[] = {payload};
  if (may_write_at_once() && bytes <= queue_.limits().atomic_max && write(one, bytes)) {
    queue_.release(bytes);
    return line_.flush_if_due();
  }
  push(one, bytes, bytes);
  return line_.write(*this);
}

result<void> multicaster::multicast_confirmed(multicast_pieces payload, std::size_t bytes,
                                              base::time_point deadline, confirmation&& done) {
  if (auto ok = may_send(bytes); !ok && ok.error() != errc::busy) {
    return ok;
  }
  // If the doorbell fails below, the socket is gone: lose() then reports the outcome.
  if (may_write_at_once() && bytes <= queue_.limits().atomic_max &&
      (write(payload, bytes) || (line_.flush() && write(payload, bytes)))) {
    queue_.add_written(bytes, deadline, std::move(done), written_);
    static_cast<void>(line_.flush_if_due());
    return {};
  }
  queue_.push_confirmed(payload, bytes, deadline, std::move(done));
  note_waiting();
  static_cast<void>(line_.write(*this));
  return {};
}

CPGRING_HOT result<std::span<std::byte>> multicaster::reserve(std::size_t bytes) {
  if (auto ok = may_send(bytes); !ok) {
    return fail(ok.error());
  }
  if (bytes > queue_.limits().atomic_max) {
    return fail(errc::too_big,
                fmt::format("a reservation has at most max_atomic_message() = {} bytes, asked for {}",
                            queue_.limits().atomic_max, bytes));
  }
  const std::size_t size = wire::multicast_request::data + bytes;
  std::byte* const at = may_write_at_once() ? line_.open_reservation(size) : nullptr;
  if (at == nullptr) {
    return fail(refuse());
  }
  reservation_ = {at, size};
  return reservation_.subspan(wire::multicast_request::data);
}

CPGRING_HOT result<void> multicaster::commit(std::size_t bytes) {
  if (!line_.reserved()) {
    return fail(errc::bad_handle, "the reservation is no longer open: its handle was closed or lost");
  }
  const std::size_t size = wire::multicast_request::data + bytes;
  if (size > reservation_.size()) {
    return fail(errc::too_big, fmt::format("commit of {} bytes into a reservation of {}", bytes,
                                           reservation_.size() - wire::multicast_request::data));
  }
  put_multicast_header(reservation_.data(), bytes);
  line_.commit_reservation(size);
  reservation_ = {};
  ++written_;
  count(bytes);
  return line_.flush_if_due();
}

// --- large messages

bool multicaster::write_front() {
  queued_multicast& front = queue_.front();
  if (front.bytes() <= queue_.limits().atomic_max) {
    const std::span<const std::byte> one[] = {front.payload()};
    if (!write(one, front.bytes())) {
      return false;
    }
    queue_.front_written(written_);
    return true;
  }
  if (!large_.in_flight && !large_.retry_at) {
    write_fragment();
  }
  return false;
}

void multicaster::write_fragment() {
  queued_multicast& front = queue_.front();
  const std::size_t total = front.bytes();
  const std::size_t part = std::min(queue_.limits().atomic_max, total - large_.offset);
  const std::size_t size = wire::partial_multicast_request::data + part;
  if (large_.give_up_at == base::time_point{}) {
    large_.give_up_at = line_.now() + control_deadline_;
  }
  std::byte* const at = line_.room_for_request(size, fragment_answer.size);
  if (at == nullptr) {
    return;
  }
  put_fragment_header(at, total, part, fragment_type_of(large_.offset, part, total));
  std::memcpy(at + wire::partial_multicast_request::data, front.payload().data() + large_.offset, part);
  if (!front.written()) {
    queue_.begin_sending(++written_);
  }
  large_.offset += part;
  large_.in_flight = true;
  line_.stage_request(
      size, fragment_answer, base::time_point::max(),
      [this](const result<answer_bytes>& answer) { fragment_answered(answer); }, {}, true);
}

void multicaster::fragment_answered(const result<answer_bytes>& answer) {
  large_.in_flight = false;
  queued_multicast* const one = queue_.sending();
  if (!answer || detached_ || one == nullptr) {
    return;  // lose(), or the next connection, handles the message
  }
  const std::int32_t status = status_of(*answer);
  if (status == wire::status::ok) {
    large_.give_up_at = line_.now() + control_deadline_;
    if (large_.offset == one->bytes()) {
      count(one->bytes());
      large_ = {};
      queue_.sending_done();
    }
    return;
  }
  if ((status == wire::status::try_again || status == wire::status::interrupt) &&
      line_.now() < large_.give_up_at) {
    // TRY_AGAIN: the service did not take this fragment. INTERRUPT: a membership change interrupted the
    // message; receivers drop their part of it at the next `first`.
    const std::size_t over = large_.offset % queue_.limits().atomic_max;
    const std::size_t part = over == 0 ? queue_.limits().atomic_max : over;
    large_.offset = status == wire::status::interrupt ? 0 : large_.offset - part;
    large_.retry_at = line_.now() + membership::retry_pause;
    return;
  }
  abort_large(status);
}

void multicaster::abort_large(std::int32_t status) {
  queued_multicast& one = *queue_.sending();
  const error why = service_error(status, "a fragment of a large message");
  notices_.push_back(aborted{self_.local_node(), self_.pid(), large_.offset, one.bytes(), why});
  --written_;  // nothing after it was written, so the next message gets its number
  if (one.confirmed() && !one.decided()) {
    queue_.fail(one, why, multicast_fate::not_sent);
    report(one);
  }
  large_ = {};
  queue_.drop_sending();
}

// --- own messages

result<queued_multicast*> multicaster::match(std::size_t bytes) {
  queued_multicast* const one = detached_ ? nullptr : queue_.own_delivered(back_);
  if (one == nullptr) {
    return nullptr;
  }
  if (one->bytes() != bytes) {
    const error why(errc::malformed,
                    fmt::format("an own message of {} bytes came back with {}; this connection ended",
                                one->bytes(), bytes));
    if (!one->decided()) {
      give_up(*one, why);
    }
    return fail(why);
  }
  return one->decided() ? nullptr : one;
}

void multicaster::report(queued_multicast& one) {
  notices_.push_back(completed{[&one] { one.report(); }});
}

void multicaster::give_up(queued_multicast& one, const error& why) {
  queue_.fail(one, why);
  report(one);
}

// --- progress

void multicaster::notify_writable() {
  if (refused_ && may_write_at_once() && line_.may_write()) {
    refused_ = false;
    notices_.push_back(writable{});
  }
}

void multicaster::expire(base::time_point now) {
  if (detached_) {
    return;
  }
  queue_.expire(now, [this](queued_multicast& one) {
    const char* const text =
        one.written() ? "sent, but not delivered back before the deadline; it may still be ordered"
        : draining_   ? "the service did not take it before the deadline; it will not be sent"
                      : "the handle had not joined before the deadline; it will not be sent";
    give_up(one, error(errc::timeout, text));
  });
  if (large_.retry_at && *large_.retry_at <= now) {
    large_.retry_at.reset();
  }
}

// --- the end

void multicaster::drop_waiting(const error& why) {
  if (!detached_) {
    queue_.drop_waiting([&](queued_multicast& one) { give_up(one, why); });
  }
}

void multicaster::leave(const error& why) {
  queue_.each_open([&](queued_multicast& one) { give_up(one, why); });
  queue_.end_connection();
}

/// Ends the message that is being sent in fragments. Without its last fragment no member delivers it.
void multicaster::give_up_sending(const error& why, bool keep) {
  queued_multicast* const one = queue_.sending();
  if (one == nullptr) {
    return;
  }
  const bool whole = large_.offset == one->bytes();
  if (keep && !whole && !one->decided()) {
    queue_.restart_sending();
    return;
  }
  if (one->confirmed() && !one->decided()) {
    queue_.fail(*one, why, whole ? multicast_fate::unknown : multicast_fate::not_sent);
    report(*one);
  }
  queue_.drop_sending();
}

void multicaster::lose(const error& why, bool keep) {
  abandon();
  refused_ = false;
  if (detached_) {
    return;
  }
  queue_.each_open_written([&](queued_multicast& one) { give_up(one, why); });
  give_up_sending(why, keep);
  if (!keep) {
    drop_waiting(why);
  }
  queue_.end_connection();
  large_ = {};
  draining_ = false;
}

void multicaster::close(const error& why, open_confirmations open) {
  abandon();
  refused_ = false;
  if (detached_ || open == open_confirmations::leave) {
    return;
  }
  queue_.each_open_written([&](queued_multicast& one) { give_up(one, why); });
  if (queued_multicast* const one = queue_.sending(); one != nullptr && one->confirmed() && !one->decided()) {
    give_up(*one, why);
  }
  if (draining_) {
    queue_.send_unconfirmed([&](queued_multicast& one) {
      queue_.fail(one, why, multicast_fate::unknown);  // it is still sent
      report(one);
    });
  } else {
    drop_waiting(why);
  }
  queue_.end_connection();
}

}  // namespace cpgring::cpg
