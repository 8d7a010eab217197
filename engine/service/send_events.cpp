// Sends events to clients: into their rings, or into a backlog while a ring is full.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "service/cpg_server.hpp"

namespace cpgring::service {
namespace {

// libqb does not report that a client has read. A full ring is retried at growing intervals, and at each
// request of its client.
constexpr base::nanoseconds flush_pause_min{1000000}, flush_pause_max{20000000};

// How long a client may leave its socket unread once its doorbell limit stops further events.
constexpr std::chrono::seconds unread_timeout{5};

}  // namespace

void cpg_server::send(member& to, const iovec* parts, std::size_t count, std::size_t total) {
  if (to.finalized || to.disconnecting) {
    return;
  }
  // libqb would retry it forever and send nothing else.
  if (total > to.event_max) {
    return disconnect(to,
                      fmt::format("an event of {} bytes does not fit into its ring of {}; its ring_bytes is "
                                  "too small for this group",
                                  total, to.event_max));
  }
  counters_.events.add();
  if (interceptor_ == nullptr) [[likely]] {
    send_as_is(to, parts, count, total);
  } else {
    send_intercepted(to, parts, count, total);
  }
}

/// False: the client has reached its limit of unsent doorbell bytes. It may still take the events in its
/// ring. A client with slow callbacks may take many events at once and read the bytes later, so a client that
/// took its events but does not read its socket is disconnected only after unread_timeout.
bool cpg_server::may_push(member& to) {
  if (!loop_.wants_output(to.connection)) {
    to.doorbells.sent(false);
    to.unread_since.reset();
    return true;
  }
  if (to.disconnecting) {
    return false;
  }
  auto* const stats = ::qb_ipcs_connection_stats_get_2(to.connection, 0);
  const std::uint32_t in_ring = stats == nullptr ? to.doorbells.count() : stats->event_q_length;
  std::free(stats);
  if (in_ring >= to.doorbells.count() / 2) {
    to.unread_since.reset();
  } else if (const auto now = base::clock::now(); !to.unread_since) {
    to.unread_since = now;
  } else if (now - *to.unread_since >= unread_timeout) {
    counters_.members_disconnected.add();
    disconnect(to, fmt::format("it takes events but does not read its socket: {} doorbell bytes are unsent",
                               to.doorbells.count()));
  }
  return false;
}

/// Like qb_ipcs_event_sendv(). Also returns -EAGAIN while too many doorbell bytes are unsent.
ssize_t cpg_server::push(member& to, const iovec* parts, std::size_t count) {
  if (to.doorbells.at_limit() && !may_push(to)) [[unlikely]] {
    return -EAGAIN;
  }
  ssize_t sent = 0;
  if (to.held_socket >= 0) [[unlikely]] {
    const full_socket::instead_of held(*full_, to.held_socket);
    sent = ::qb_ipcs_event_sendv(to.connection, parts, count);
  } else {
    sent = ::qb_ipcs_event_sendv(to.connection, parts, count);
  }
  if (sent >= 0) {
    to.doorbells.sent(loop_.wants_output(to.connection));
  }
  return sent;
}

void cpg_server::send_as_is(member& to, const iovec* parts, std::size_t count, std::size_t total) {
  if (to.backlog.empty()) {
    const auto sent = push(to, parts, count);
    if (sent >= 0 || (sent != -EAGAIN && sent != -ENOBUFS)) {
      return;  // sent, or the connection is ending
    }
  }
  if (options_.slow_member == slow_member_policy::disconnect &&
      to.backlog_bytes + total > options_.member_backlog_bytes_max) {
    counters_.members_disconnected.add();
    return disconnect(to, fmt::format("it does not read: its backlog of {} bytes exceeds the limit of {}",
                                      to.backlog_bytes + total, options_.member_backlog_bytes_max));
  }
  std::vector<std::byte> copy;
  copy.reserve(total);
  for (std::size_t i = 0; i < count; ++i) {
    const auto* from = static_cast<const std::byte*>(parts[i].iov_base);
    copy.insert(copy.end(), from, from + parts[i].iov_len);
  }
  if (to.backlog.empty()) {
    waiting_.push_back(&to);
    flush_pause_ = flush_pause_min;
  }
  to.backlog.push_back(std::move(copy));
  to.backlog_bytes += total;
  counters_.events_queued.add();
  counters_.backlog_bytes.add(total);
  throttle();
  keep_flushing();
}

void cpg_server::flush_backlog(member& of) {
  while (!of.backlog.empty() && !of.disconnecting && !of.finalized) {
    const auto& front = of.backlog.front();
    const iovec part{const_cast<std::byte*>(front.data()), front.size()};
    if (push(of, &part, 1) < 0) {
      break;
    }
    of.backlog_bytes -= front.size();
    counters_.backlog_bytes.set(counters_.backlog_bytes.get() - front.size());
    of.backlog.pop_front();
    flush_pause_ = flush_pause_min;
  }
  if (of.backlog.empty()) {
    std::erase(waiting_, &of);
  }
  throttle();
}

void cpg_server::keep_flushing() {
  if (flushing_ || waiting_.empty()) {
    return;
  }
  flushing_ = true;
  loop_.call_after(flush_pause_, [this] {
    flushing_ = false;
    flush_all();
  });
}

void cpg_server::flush_all() {
  flush_pause_ = std::min(flush_pause_ * 2, flush_pause_max);
  const auto all = waiting_;
  for (member* one : all) {
    flush_backlog(*one);
  }
  disconnect_marked();
  keep_flushing();
}

/// Policy `block`: once the backlog of a member exceeds its limit, no multicast is accepted until each
/// backlog is at most half of it. Clients see flow control, as with a stock service.
void cpg_server::throttle() {
  if (options_.slow_member != slow_member_policy::block || service_ == nullptr) {
    return;
  }
  const bool behind = std::any_of(waiting_.begin(), waiting_.end(), [this](const member* m) {
    return m->backlog_bytes > options_.member_backlog_bytes_max;
  });
  const bool caught_up = std::all_of(waiting_.begin(), waiting_.end(), [this](const member* m) {
    return m->backlog_bytes <= options_.member_backlog_bytes_max / 2;
  });
  if (behind && !throttled_) {
    throttled_ = true;
    apply_rate();
  } else if (caught_up && throttled_) {
    throttled_ = false;
    apply_rate();
  }
}

void cpg_server::apply_rate() {
  ::qb_ipcs_request_rate_limit(service_, throttled_ || standing_ ? QB_IPCS_RATE_OFF_2 : QB_IPCS_RATE_FAST);
}

}  // namespace cpgring::service
