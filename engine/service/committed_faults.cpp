// What the service does wrong on purpose; see cpgring/service_faults.hpp. Which and when is injector's business, how is here.
#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/checked_read.hpp"
#include "service/cpg_server.hpp"

namespace cpgring::service {
namespace {

/// The requests that corosync refuses while it synchronises, and what their answer is called. A multicast has no answer.
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

struct lie {
  const char* field;
  std::size_t at;
  std::uint64_t allowed;  // the largest value that a receiver may believe
};

/// Fields that whoever receives the event can see to be wrong: a lie that nobody can see would only be another message.
std::vector<lie> lies_in(std::span<const std::byte> event) {
  const auto room = [&](std::size_t from, std::size_t row) { return (event.size() - from) / row; };
  std::vector<lie> all{{"event id", wire::header_id, 99}};
  switch (static_cast<wire::event>(base::read_once_i32(event.data() + wire::header_id))) {
    case wire::event::deliver: {
      namespace w = wire::deliver_event;
      all.push_back({"message length", w::length, room(w::data, 1)});
      break;
    }
    case wire::event::partial_deliver: {
      namespace w = wire::partial_deliver_event;
      all.push_back({"fragment length", w::length, room(w::data, 1)});
      all.push_back({"fragment type", w::type, 3});
      break;
    }
    case wire::event::configuration: {
      namespace w = wire::configuration_event;
      all.push_back({"group name length", w::name + wire::name_length, wire::name_text_max});
      for (const auto& [field, at] : {std::pair{"member count", w::members}, {"joined count", w::joined}, {"left count", w::left}}) {
        all.push_back({field, at, room(w::lists, wire::address_bytes)});
      }
      break;
    }
    case wire::event::totem_configuration: {
      namespace w = wire::totem_configuration_event;
      all.push_back({"node count", w::count, room(w::members, 4)});
      break;
    }
  }
  return all;
}

/// A little too much, more than the ring holds, or what a negative number looks like.
std::uint32_t too_much(std::uint64_t allowed, draws& choice) noexcept {
  switch (choice.below(3)) {
    case 0: return static_cast<std::uint32_t>(allowed + 1);
    case 1: return static_cast<std::uint32_t>(allowed + 1 + choice.below(1U << 30));
    default: return UINT32_MAX - static_cast<std::uint32_t>(choice.below(256));
  }
}

}  // namespace

std::optional<draws> cpg_server::strikes(fault kind, member& client) { return bad_->choices.strikes(kind, client.occasions); }

void cpg_server::committed(fault kind, const member& client, std::string_view what) {
  counters_.injected[static_cast<std::size_t>(kind)].add();
  if (options_.log) {
    log_.say(log_level::debug, fmt::format("on purpose, client {}: {}", client.occasions.client, what));
  }
}

void cpg_server::inject(const service_faults& faults) {
  if (bad_ != nullptr) {
    bad_->choices = injector(service_faults{});  // the crowd says goodbye without further mishap
    loop_.go_on();
    for (auto& [connection, one] : members_) {
      release_doorbell(*one);
    }
    for (const auto& name : bad_->crowd.groups()) {
      if (auto* g = groups_.find(name)) {
        show_crowd(*g, bad_->crowd.depart(name));
      }
    }
  }
  bad_ = faults.none() ? nullptr : std::make_unique<bad_side>(faults, options_.node_id);
  for (auto& [connection, one] : members_) {
    one->occasions.seen = {};
  }
  bury();
}

/// Ahead of a request: whether it is not to be carried out.
bool cpg_server::refused_on_purpose(member& from, bytes request) {
  const std::int32_t id = base::read_once_i32(request.data() + wire::header_id);
  if (strikes(fault::hang_up, from)) {
    committed(fault::hang_up, from, fmt::format("hung up instead of handling request {}", id));
    doom(from, "on purpose, ahead of a request");
    return true;
  }
  const auto response = answer_of(id);
  if (!response) {
    return false;
  }
  const auto now = base::clock::now();
  if (strikes(fault::try_again, from)) {
    bad_->storm_until = std::max(bad_->storm_until, now + bad_->choices.faults().try_again_for);
  } else if (now >= bad_->storm_until) {
    return false;
  }
  committed(fault::try_again, from, fmt::format("request {} answered TRY_AGAIN", id));
  answer(from, *response, wire::status::try_again);
  return true;
}

void cpg_server::after_request(member& from) {
  if (from.group != nullptr && !from.finalized && !from.doomed) {
    if (const auto choice = strikes(fault::crowd, from)) {
      move_crowd(*from.group, *choice);
    }
  }
  if (strikes(fault::stall, from)) {
    committed(fault::stall, from, "stands still");
    stand_still();
  }
}

void cpg_server::stand_still() {
  standing_ = true;
  apply_rate();
  loop_.stand_still(bad_->choices.faults().stall_for, [this] {
    standing_ = false;
    apply_rate();
  });
}

void cpg_server::hang_up_in_fragment(member& from) {
  if (!from.doomed && strikes(fault::hang_up_sender, from)) {
    committed(fault::hang_up_sender, from, "hung up in the middle of its large message");
    doom(from, "on purpose, in the middle of a large message of its own");
  }
}

// --- the crowd ----------------------------------------------------------------------------------------------------------------

void cpg_server::move_crowd(groups<member>::group& g, draws choice) {
  bad_->crowd.advance(g.name, choice, [&](const crowds::move& m) { show_crowd(g, m); });
}

/// In stock's order: the view of the group first, then the ring, which everybody is told of, whether in a group or not.
void cpg_server::show_crowd(groups<member>::group& g, const crowds::move& m) {
  if (!g.members.empty()) {
    committed(fault::crowd, *g.members.front(), fmt::format("{} of the crowd join, {} leave", m.joined.size(), m.left.size()));
    tell_group(g, m.joined, m.left);
  }
  if (m.ring_changes) {
    ring_sequence_ += 4;
    for (auto& [connection, one] : members_) {
      if (one->event_max != 0) {  // else still in its handshake
        tell_ring(*one);
      }
    }
  }
}

// --- events -------------------------------------------------------------------------------------------------------------------

void cpg_server::send_badly(member& to, const iovec* parts, std::size_t count, std::size_t total) {
  const std::byte* head = static_cast<const std::byte*>(parts[0].iov_base);  // never less than the event's fixed part
  const bool more_to_come =
      base::read_once_i32(head + wire::header_id) == static_cast<std::int32_t>(wire::event::partial_deliver) &&
      base::read_once_u32(head + wire::partial_deliver_event::type) != static_cast<std::uint32_t>(wire::fragment_type::last);
  if (auto choice = strikes(fault::late_doorbell, to)) {
    hold_doorbell(to, *choice);
  }
  auto torn = strikes(fault::torn_frame, to);
  auto lying = strikes(fault::lying_frame, to);
  if (torn || lying) {
    std::vector<std::byte> whole;
    whole.reserve(total);
    for (std::size_t i = 0; i < count; ++i) {
      const auto* from = static_cast<const std::byte*>(parts[i].iov_base);
      whole.insert(whole.end(), from, from + parts[i].iov_len);
    }
    if (torn) {
      // Not its last quarter: the end of a ring event is padding, and nobody misses it.
      whole.resize(1 + torn->below(total * 3 / 4));
      committed(fault::torn_frame, to, fmt::format("an event of {} bytes torn to {}", total, whole.size()));
    } else {
      const auto all = lies_in(whole);
      const lie& one = all[lying->below(all.size())];
      const std::uint32_t value = too_much(one.allowed, *lying);
      put(whole.data() + one.at, value);
      committed(fault::lying_frame, to, fmt::format("an event whose {} is {}, at most {} is true", one.field, value, one.allowed));
    }
    const iovec part{whole.data(), whole.size()};
    send_as_is(to, &part, 1, whole.size());
  } else {
    send_as_is(to, parts, count, total);
  }
  if (more_to_come && strikes(fault::hang_up_receiver, to) && !to.doomed) {
    committed(fault::hang_up_receiver, to, "hung up behind a fragment of a large message");
    doom(to, "on purpose, in the middle of a large message to it");
  }
  if (strikes(fault::hang_up, to) && !to.doomed) {
    committed(fault::hang_up, to, "hung up behind an event");
    doom(to, "on purpose, behind an event");
  }
}

/// A doorbell that is late already is not put off again: none is later than what was promised.
void cpg_server::hold_doorbell(member& of, draws choice) {
  const auto late =
      std::chrono::milliseconds(1 + choice.below(static_cast<std::uint64_t>(bad_->choices.faults().late_doorbell_max.count())));
  if (of.held_socket < 0) {
    const std::int32_t socket = loop_.descriptor_of(of.connection);
    if (socket < 0) {
      return;
    }
    of.held_socket = socket;
    loop_.hold_output(socket);
    loop_.tick_after(late, [this, connection = of.connection, client = of.occasions.client] {
      const auto found = members_.find(connection);
      if (found != members_.end() && found->second->occasions.client == client) {
        release_doorbell(*found->second);
      }
    });
  }
  committed(fault::late_doorbell, of, "a doorbell comes late");
}

/// libqb has asked to be told of room on the socket; being told now, it sends what it owes.
void cpg_server::release_doorbell(member& of) {
  if (of.held_socket >= 0) {
    loop_.release_output(std::exchange(of.held_socket, -1));
  }
}

}  // namespace cpgring::service
