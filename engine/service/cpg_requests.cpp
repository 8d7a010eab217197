// Handles the requests of clients, except iterations (iterations.cpp) and zero-copy sends (zero_copy.cpp),
// and sends views.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/checked_read.hpp"
#include "service/cpg_server.hpp"

namespace cpgring::service {
namespace {

std::uint32_t u32(std::span<const std::byte> request, std::size_t at) noexcept {
  return base::read_once_u32(request.data() + at);
}

}  // namespace

void cpg_server::handle(member& from, bytes request) {
  const std::int32_t id = base::read_once_i32(request.data() + wire::header_id);
  const auto sized = [&](std::size_t least) {
    if (request.size() >= least) {
      return true;
    }
    refuse(from, fmt::format("size of request {}", id), request.size(), least);
    return false;
  };
  switch (static_cast<wire::request>(id)) {
    case wire::request::join: return sized(wire::join_request::bytes) ? join(from, request) : void();
    case wire::request::leave: return sized(wire::leave_request::bytes) ? leave(from, request) : void();
    case wire::request::multicast:
      return sized(wire::multicast_request::data) ? multicast(from, request) : void();
    case wire::request::membership:
      return sized(wire::membership_request::bytes) ? membership(from, request) : void();
    case wire::request::local_get: return local_get(from);
    case wire::request::iteration_initialize:
      return sized(wire::iteration_initialize_request::bytes) ? iteration_initialize(from, request) : void();
    case wire::request::iteration_next:
      return sized(wire::iteration_next_request::bytes) ? iteration_next(from, request) : void();
    case wire::request::iteration_finalize:
      return sized(wire::iteration_finalize_request::bytes) ? iteration_finalize(from, request) : void();
    case wire::request::finalize:
      from.finalized = true;
      return answer(from, wire::response::finalize, wire::status::ok);
    case wire::request::zc_alloc:
      return sized(wire::zc_alloc_request::bytes) ? zero_copy_alloc(from, request) : void();
    case wire::request::zc_free:
      return sized(wire::zc_free_request::bytes) ? zero_copy_free(from, request) : void();
    case wire::request::zc_execute:
      return sized(wire::zc_execute_request::bytes) ? zero_copy_execute(from, request) : void();
    case wire::request::partial_multicast:
      return sized(wire::partial_multicast_request::data) ? partial_multicast(from, request) : void();
  }
  // A stock service gives the same answer to an unknown request id.
  counters_.requests_refused.add();
  log_.say(log_level::warning, {"", "requests were unknown"},
           fmt::format("request id {} of process {} is unknown", id, from.pid));
  std::array<std::byte, wire::response_header_bytes> reply{};
  put_header(reply.data(), 0, reply.size(), wire::status::invalid_param);
  respond(from, reply);
}

bool cpg_server::name_at(bytes request, std::size_t at, std::string_view& out) {
  const std::uint32_t length = u32(request, at + wire::name_length);
  if (length > wire::name_text_max) {
    return false;
  }
  out = {reinterpret_cast<const char*>(request.data()) + at + wire::name_text, length};
  return true;
}

void cpg_server::join(member& from, bytes request) {
  namespace w = wire::join_request;
  std::string_view name;
  if (!name_at(request, w::name, name)) {
    return answer(from, wire::response::join, wire::status::name_too_long);
  }
  // A stock service accepts an empty name, but can then never remove the member.
  if (name.empty()) {
    return answer(from, wire::response::join, wire::status::invalid_param);
  }
  const std::string copy(name);  // the client can still change the bytes in its ring
  const std::uint32_t pid = u32(request, w::pid);
  const bool wants_ring = (u32(request, w::flags) & w::flag_initial_totem_configuration) != 0;
  if (from.group != nullptr || from.finalized || groups_.has(copy, pid)) {
    return answer(from, wire::response::join, wire::status::exist);
  }
  from.pid = pid;
  auto& g = groups_.add(copy, from);
  from.group = &g;
  answer(from, wire::response::join, wire::status::ok);
  const address me{options_.node_id, pid, wire::reason::join};
  send_view(g, {&me, 1}, {});
  if (wants_ring) {
    send_ring(from);
  }
}

void cpg_server::leave(member& from, bytes request) {
  namespace w = wire::leave_request;
  std::string_view name;
  if (!name_at(request, w::name, name)) {
    return answer(from, wire::response::leave, wire::status::name_too_long);
  }
  // A stock service checks neither name nor pid, and may remove another process because of it.
  if (from.group == nullptr || from.finalized || from.group->name != name ||
      from.pid != u32(request, w::pid)) {
    return answer(from, wire::response::leave, wire::status::not_exist);
  }
  answer(from, wire::response::leave, wire::status::ok);
  depart(from, wire::reason::leave);
}

void cpg_server::multicast(member& from, bytes request) {
  namespace w = wire::multicast_request;
  const std::uint32_t length = u32(request, w::length);
  if (length > request.size() - w::data || length > wire::atomic_payload_max) {
    return refuse(from, "length of a multicast", length,
                  std::min<std::uint64_t>(request.size() - w::data, wire::atomic_payload_max));
  }
  if (from.group == nullptr || from.finalized) {
    log_.say(log_level::warning, {"dropped", "multicasts of processes that are in no group"},
             fmt::format("dropped a multicast of process {}, which is in no group", from.pid));
    return;
  }
  deliver(from, request.subspan(w::data, length));
}

void cpg_server::deliver(member& from, bytes payload) {
  counters_.multicasts.add();
  const auto header = deliver_header(options_.node_id, from, payload.size());
  const iovec parts[] = {{const_cast<std::byte*>(header.data()), header.size()},
                         {const_cast<std::byte*>(payload.data()), payload.size()}};
  for (member* to : from.group->members) {
    send(*to, parts, payload.empty() ? 1 : 2, header.size() + payload.size());
  }
}

void cpg_server::partial_multicast(member& from, bytes request) {
  namespace w = wire::partial_multicast_request;
  const std::uint32_t length = u32(request, w::length), total = u32(request, w::total),
                      type = u32(request, w::type);
  if (length > request.size() - w::data || length > wire::atomic_payload_max || type < 1 || type > 3) {
    counters_.requests_refused.add();
    return answer(from, wire::response::partial_multicast, wire::status::invalid_param);
  }
  if (from.group == nullptr || from.finalized) {
    return answer(from, wire::response::partial_multicast, wire::status::not_exist);
  }
  if (throttled_) {
    return answer(from, wire::response::partial_multicast, wire::status::try_again);
  }
  if (type == static_cast<std::uint32_t>(wire::fragment_type::first)) {
    from.interrupted = false;
    from.in_large_message = true;
  } else if (from.interrupted) {
    from.in_large_message = false;
    return answer(from, wire::response::partial_multicast, wire::status::interrupt);
  }
  answer(from, wire::response::partial_multicast, wire::status::ok);
  counters_.multicasts.add();
  const auto header = fragment_header(options_.node_id, from, length, total, type);
  const iovec parts[] = {{const_cast<std::byte*>(header.data()), header.size()},
                         {const_cast<std::byte*>(request.data()) + w::data, length}};
  for (member* to : from.group->members) {
    send(*to, parts, length == 0 ? 1 : 2, header.size() + length);
  }
  fragment_passed_on_ = type != static_cast<std::uint32_t>(wire::fragment_type::last);
}

void cpg_server::membership(member& from, bytes request) {
  namespace w = wire::membership_response;
  std::string_view name;
  std::vector<std::byte> reply(w::bytes);
  put_header(reply.data(), wire::response::membership, reply.size(), wire::status::ok);
  if (name_at(request, wire::membership_request::name, name)) {
    if (const auto* g = groups_.find(name)) {
      const auto all = members_of(*g);
      const std::size_t count = std::min<std::size_t>(all.size(), w::members_max);
      put(reply.data() + w::count, static_cast<std::uint32_t>(count));
      for (std::size_t i = 0; i < count; ++i) {
        std::byte* at = reply.data() + w::members + i * wire::address_bytes;
        put(at + wire::address_node, all[i].node);
        put(at + wire::address_pid, all[i].pid);
      }
    }
  }
  respond(from, reply);
}

void cpg_server::local_get(member& from) {
  namespace w = wire::local_get_response;
  std::array<std::byte, w::bytes> reply{};
  put_header(reply.data(), wire::response::local_get, reply.size(), wire::status::ok);
  put(reply.data() + w::node, options_.node_id);
  respond(from, reply);
}

// --- views

std::vector<address> cpg_server::members_of(const groups<member>::group& g) {
  std::vector<address> all;
  all.reserve(g.members.size());
  for (const member* m : g.members) {
    all.push_back({options_.node_id, m->pid, wire::reason::none});
  }
  if (interceptor_ != nullptr) [[unlikely]] {
    add_made_up(g.name, all);
  }
  return all;
}

void cpg_server::send_view(groups<member>::group& g, addresses joined, addresses left, member* also) {
  const auto view = configuration_event(g.name, members_of(g), joined, left);
  const iovec part{const_cast<std::byte*>(view.data()), view.size()};
  for (member* to : g.members) {
    to->interrupted = to->in_large_message;
    send(*to, &part, 1, view.size());
  }
  if (also != nullptr) {
    send(*also, &part, 1, view.size());
  }
}

void cpg_server::send_ring(member& to) {
  std::vector<std::uint32_t> nodes{options_.node_id};
  if (interceptor_ != nullptr) [[unlikely]] {
    add_made_up(nodes);
  }
  const auto ring = ring_event(options_.node_id, ring_sequence_, nodes);
  const iovec part{const_cast<std::byte*>(ring.data()), ring.size()};
  send(to, &part, 1, ring.size());
}

void cpg_server::depart(member& who, wire::reason why) {
  auto& g = *std::exchange(who.group, nullptr);
  groups_.remove(g, who);
  const address gone{options_.node_id, who.pid, why};
  send_view(g, {}, {&gone, 1}, why == wire::reason::leave ? &who : nullptr);
  forget_if_empty(g);
}

void cpg_server::forget_if_empty(groups<member>::group& g) {
  if (interceptor_ != nullptr && g.members.empty()) {
    interceptor_->group_emptied(g.name);
  }
  groups_.forget_if_empty(g);
}

}  // namespace cpgring::service
