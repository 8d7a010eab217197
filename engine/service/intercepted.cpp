// The parts of the service that run only with an interceptor; see cpgring/service_interceptor.hpp.
#include <algorithm>
#include <cerrno>
#include <future>
#include <utility>

#include "base/checked_read.hpp"
#include "service/cpg_server.hpp"
#include "service/server_controls.hpp"

namespace cpgring::service {
namespace {

/// The response to each request that corosync refuses while it synchronises; nullopt for all others. A
/// multicast has no response.
std::optional<wire::response> answer_of(std::int32_t request) noexcept {
  switch (static_cast<wire::request>(request)) {
    case wire::request::join: return wire::response::join;
    case wire::request::leave: return wire::response::leave;
    case wire::request::finalize: return wire::response::finalize;
    case wire::request::zc_execute: return wire::response::zc_execute;
    case wire::request::partial_multicast: return wire::response::partial_multicast;
    default: return std::nullopt;
  }
}

service_client seen(const member& m) noexcept {
  return {m.number, m.group == nullptr ? std::string_view() : std::string_view(m.group->name),
          m.finalized || m.disconnecting};
}

std::span<const std::byte> bytes_of(const iovec& part) noexcept {
  return {static_cast<const std::byte*>(part.iov_base), part.iov_len};
}

std::vector<address> addresses_of(std::span<const simulated_member> from) {
  std::vector<address> all;
  all.reserve(from.size());
  for (const simulated_member& one : from) {
    all.push_back({one.node_id, one.pid, static_cast<wire::reason>(one.why)});
  }
  return all;
}

}  // namespace

// --- controls

result<void> server_controls::run(std::function<void()> task) {
  if (parent_.in_child()) {
    return fail(errc::forked, "the service runs in the parent process");
  }
  // The service's own thread does not wait for the task: it would wait for itself.
  bool own = false;
  auto done = std::make_shared<std::promise<void>>();
  auto has_run = done->get_future();
  {
    const std::lock_guard lock(lock_);
    own = loop_ != nullptr && event_loop::current() == loop_;
    const bool posted =
        loop_ != nullptr && loop_->post([self = shared_from_this(), task = std::move(task), done] {
          task();
          if (self->server_ != nullptr) {
            self->server_->disconnect_marked();
          }
          done->set_value();
        });
    if (!posted) {
      return fail(errc::stopped, "the service has been stopped");
    }
  }
  if (own) {
    return {};
  }
  try {
    has_run.get();
  } catch (const std::future_error&) {  // the service ended before it ran the task
    return fail(errc::stopped, "the service has been stopped");
  }
  return {};
}

std::vector<std::uint64_t> cpg_server::clients_of(std::string_view group) {
  std::vector<std::uint64_t> all;
  if (const auto* g = groups_.find(group)) {
    for (const member* one : g->members) {
      all.push_back(one->number);
    }
  }
  return all;
}

void cpg_server::hang_up(std::uint64_t client, std::string_view why) {
  for (auto& [connection, one] : members_) {
    if (one->number == client && client != 0) {
      return disconnect(*one, why);
    }
  }
}

void cpg_server::pause(std::chrono::milliseconds how_long) {
  standing_ = true;
  apply_rate();
  loop_.pause(how_long, [this] {
    standing_ = false;
    apply_rate();
  });
}

void cpg_server::release_doorbells() {
  for (auto& [connection, one] : members_) {
    release_doorbell(*one);
  }
  full_.reset();
}

void cpg_server::show_view(std::string_view group, std::span<const simulated_member> joined,
                           std::span<const simulated_member> left) {
  if (auto* g = groups_.find(group)) {
    send_view(*g, addresses_of(joined), addresses_of(left));
  }
}

void cpg_server::show_ring() {
  ring_sequence_ += 4;
  for (auto& [connection, one] : members_) {
    if (one->event_max != 0) {  // 0: still in its handshake
      send_ring(*one);
    }
  }
}

// --- requests

void cpg_server::handle_intercepted(member& from, bytes request) {
  const std::int32_t id = base::read_once_i32(request.data() + wire::header_id);
  const auto response = answer_of(id);
  service_request seen_request{id, response.has_value(), false};
  fragment_passed_on_ = false;
  const auto how = interceptor_->before_request(seen(from), seen_request);
  if (how == request_handling::try_again && response) {
    answer(from, *response, wire::status::try_again);
  } else if (how != request_handling::ignore) {
    handle(from, request);
  }
  seen_request.passed_on_fragment = std::exchange(fragment_passed_on_, false);
  interceptor_->after_request(seen(from), seen_request);
}

// --- views

void cpg_server::add_made_up(const std::string& group, std::vector<address>& members) {
  const auto made_up = addresses_of(interceptor_->members_of(group));
  members.insert(members.end(), made_up.begin(), made_up.end());
  std::stable_sort(members.begin(), members.end(), [](const address& a, const address& b) {
    return a.node != b.node ? a.node < b.node : a.pid < b.pid;
  });
}

void cpg_server::add_made_up(std::vector<std::uint32_t>& nodes) {
  const auto made_up = interceptor_->nodes();
  nodes.insert(nodes.end(), made_up.begin(), made_up.end());
  std::sort(nodes.begin(), nodes.end());
}

// --- events

void cpg_server::send_intercepted(member& to, const iovec* parts, std::size_t count, std::size_t total) {
  const service_event event{bytes_of(parts[0]), count > 1 ? bytes_of(parts[1]) : bytes()};
  auto how = interceptor_->before_event(seen(to), event);
  if (how.doorbell_after.count() > 0) {
    hold_doorbell(to, how.doorbell_after);
  }
  if (how.instead && !how.instead->empty() && how.instead->size() <= to.event_max) {
    const iovec part{how.instead->data(), how.instead->size()};
    send_as_is(to, &part, 1, how.instead->size());
  } else {
    send_as_is(to, parts, count, total);
  }
  interceptor_->after_event(seen(to), event);
}

/// A doorbell that is held back already keeps its time, so none is later than its interceptor asked for.
void cpg_server::hold_doorbell(member& of, std::chrono::milliseconds late) {
  if (of.held_socket >= 0) {
    return;
  }
  const std::int32_t socket = loop_.descriptor_of(of.connection);
  if (socket < 0) {
    return;
  }
  if (!full_) {
    full_.emplace();
  }
  of.held_socket = socket;
  loop_.hold_output(socket);
  loop_.call_after(late, [this, connection = of.connection, number = of.number] {
    const auto found = members_.find(connection);
    if (found != members_.end() && found->second->number == number) {
      release_doorbell(*found->second);
    }
  });
}

/// libqb waits until the socket is writable. That report makes it send the bytes that it owes.
void cpg_server::release_doorbell(member& of) {
  if (of.held_socket >= 0) {
    loop_.release_output(std::exchange(of.held_socket, -1));
  }
}

}  // namespace cpgring::service
