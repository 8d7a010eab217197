// Station C4 of 11: from runtime/shard_intake, to cpg/multicaster.
//
// Executes users' requests on the reactor's thread: joins, leaves, multicasts in all their forms.
#include <string>
#include <utility>

#include <fmt/format.h>

#include "dispatch/deliver.hpp"
#include "runtime/handle_core.hpp"
#include "runtime/shard.hpp"

namespace cpgring::runtime {

void handle_core::warn_of_name(std::string_view group) const {
  // A trailing NUL is usual (Pacemaker, pmxcfs). With one inside, stock daemons mix groups up when a node
  // leaves, because they compare C strings then.
  if (const auto at = group.find('\0'); at != std::string_view::npos && at + 1 < group.size()) {
    shard_->log(
        log_level::warning,
        fmt::format("handle {}: its group name has a NUL byte inside; when a node crashes, stock corosync "
                    "notifies only one of the groups whose names are equal up to that byte",
                    id_));
  }
}

result<void> handle_core::join(std::string_view group, completion<void> done) {
  warn_of_name(group);
  if (options_.supervision.reconnect && is_open() && link_->session().state() == handle_state::left) {
    // A stock service never lets this connection join again.
    link_->supersede();
    link::beginning next;
    next.group = group;
    next.joined = std::move(done);
    begin_next_link(std::move(next));
    return {};
  }
  return is_open() ? link_->join(group, std::move(done)) : result<void>(why_not());
}

result<void> handle_core::leave(completion<void> done) {
  return is_open() ? link_->leave(std::move(done)) : result<void>(why_not());
}

CPGRING_HOT result<void> handle_core::multicast(pieces payload, std::size_t bytes) {
  if (keeps_multicasts()) [[unlikely]] {
    return queue_.keep(payload, bytes);
  }
  if (!is_open()) {
    return why_not();
  }
  if (shard_->batching()) {
    link_->hold_doorbell();
  }
  auto& session = link_->session();
  auto outcome = session.multicasts().multicast(payload, bytes);
  if (!outcome || session.busy()) {
    link_->after_request();
  }
  return outcome;
}

void handle_core::multicast_submitted(std::span<const std::byte> payload) {
  if (keeps_multicasts()) [[unlikely]] {
    const std::span<const std::byte> one[] = {payload};
    queue_.push(one, payload.size(), payload.size());
    return;
  }
  if (!is_open()) {
    queue_.release(payload.size());
    return;
  }
  // The handle was joined when the multicast was accepted. If it has left since, the multicast is dropped.
  link_->hold_doorbell();
  link_->count_send(link_->session().multicasts().multicast_or_queue(payload));
}

result<void> handle_core::multicast_confirmed(pieces payload, std::size_t bytes, base::time_point deadline,
                                              confirmation&& done) {
  if (keeps_multicasts()) [[unlikely]] {
    queue_.push_confirmed(payload, bytes, deadline, std::move(done));
    link_->at() == phase::live ? link_->after_request() : schedule();  // sets the timer for its deadline
    return {};
  }
  if (!is_open()) {
    return why_not();
  }
  if (shard_->batching()) {
    link_->hold_doorbell();
  }
  auto outcome = link_->session().multicasts().multicast_confirmed(payload, bytes, deadline, std::move(done));
  link_->after_request();
  return outcome;
}

result<void> handle_core::multicast_confirmed_submitted(std::span<const std::byte> payload,
                                                        base::time_point deadline, confirmation&& done) {
  if (is_open() && !keeps_multicasts()) {
    link_->hold_doorbell();
  }
  const std::span<const std::byte> one[] = {payload};
  auto asked = multicast_confirmed(one, payload.size(), deadline, std::move(done));
  if (!asked) {
    queue_.release(payload.size() + confirmation_overhead);
  }
  return asked;
}

result<void> handle_core::flush(base::time_point deadline, completion<void> done) {
  if (keeps_multicasts() && queue_.has_unwritten()) {
    return fail(errc::not_joined,
                "multicasts are kept until the handle has joined: call flush() after that (on_state)");
  }
  return request([&](cpg::session& s, base::time_point) { return s.flush(std::move(done), deadline); });
}

result<handle_core::reserved_room> handle_core::reserve(std::size_t bytes) {
  if (!is_open()) {
    return why_not();
  }
  auto room = link_->session().multicasts().reserve(bytes);
  if (!room) {
    link_->after_request();
    return fail(std::move(room.error()));
  }
  return reserved_room{*room, ++reservation_};
}

result<void> handle_core::commit(std::uint64_t number, std::size_t bytes) {
  if (auto ok = shard_->alive(); !ok) {
    return ok;
  }
  if (!is_open() || number != reservation_) {
    return fail(errc::bad_handle, "the handle was closed or lost after the reservation");
  }
  if (shard_->batching()) {
    link_->hold_doorbell();
  }
  return link_->session().multicasts().commit(bytes);
}

void handle_core::abandon(std::uint64_t number) noexcept {
  if (shard_->alive() && is_open() && number == reservation_) {
    link_->session().multicasts().abandon();
  }
}

/// Notifies a refused sender once half of the queue is free.
CPGRING_HOT void handle_core::notify_refused_sender() {
  if (is_open() && queue_.take_released() && queue_.counted() <= options_.send_queue_bytes / 2) {
    notify_writable_if_refused();
  }
}

void handle_core::notify_writable_if_refused() {
  if (is_open() && queue_.take_refused_sender()) {
    link_->session().notices.push_back(cpg::writable{});
    link_->mark_ready();
  }
}

// --- at the engine's end ---

void handle_core::count_unsent(shutdown_report& report) const {
  queue_.each_unwritten([&report](std::size_t bytes) {
    ++report.unsent;
    report.unsent_bytes += bytes;
  });
}

void handle_core::report_remaining() {
  queue_.each_open([this](cpg::queued_multicast& one) { queue_.fail(one, error(errc::stopped)); });
  queue_.each_unreported([this](cpg::queued_multicast& one) {
    if (auto thrown = dispatch::deliver([&one] { one.report(); })) {
      shard_->log(log_level::error,
                  fmt::format("handle {}: a confirmation at the engine's end: {}", id_, thrown->message()));
    }
  });
}

}  // namespace cpgring::runtime
