// Commits the faults; see cpgring/testing.hpp.
#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/checked_read.hpp"
#include "base/put.hpp"
#include "cpg/wire_format.hpp"
#include "testing/fault_committer.hpp"

namespace cpgring::testing {
namespace {

namespace wire = cpg::wire;

struct lie {
  const char* field;
  std::size_t at;
  std::uint64_t allowed;  // the largest value that a receiver may accept
};

/// Fields whose corruption a receiver can detect. A change that cannot be detected would only make another
/// valid message.
std::vector<lie> corruptible_fields(std::span<const std::byte> event) {
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
      for (const auto& [field, at] :
           {std::pair{"member count", w::members}, {"joined count", w::joined}, {"left count", w::left}}) {
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

/// Just too large, larger than the ring, or the bits of a negative number.
std::uint32_t too_much(std::uint64_t allowed, draws& choice) noexcept {
  switch (choice.below(3)) {
    case 0: return static_cast<std::uint32_t>(allowed + 1);
    case 1: return static_cast<std::uint32_t>(allowed + 1 + choice.below(1U << 30));
    default: return UINT32_MAX - static_cast<std::uint32_t>(choice.below(256));
  }
}

bool more_to_come(const service_event& event) noexcept {
  const std::byte* head = event.head.data();
  return base::read_once_i32(head + wire::header_id) ==
             static_cast<std::int32_t>(wire::event::partial_deliver) &&
         base::read_once_u32(head + wire::partial_deliver_event::type) !=
             static_cast<std::uint32_t>(wire::fragment_type::last);
}

}  // namespace

std::optional<draws> fault_committer::strikes(fault kind, std::uint64_t client) {
  auto& of = occasions_[client];
  of.client = client;
  return now_->choices.strikes(kind, of);
}

void fault_committer::committed(fault kind, std::uint64_t client, std::string_view what) {
  counts_[static_cast<std::size_t>(kind)].add();
  controls_->log(log_level::debug, fmt::format("injected fault, client {}: {}", client, what));
}

void fault_committer::begin(std::shared_ptr<service_controls> controls, const service_faults& faults) {
  controls_ = std::move(controls);
  occasions_.clear();
  now_ = nullptr;
  inject(faults);
}

void fault_committer::end() {
  now_ = nullptr;
  controls_ = nullptr;
}

void fault_committer::inject(const service_faults& faults) {
  if (controls_ == nullptr) {
    return;
  }
  if (now_ != nullptr) {
    now_->choices = injector(service_faults{});  // the crowd leaves without further faults
    controls_->resume();
    controls_->release_doorbells();
    for (const auto& name : now_->crowd.groups()) {
      if (!controls_->clients_of(name).empty()) {
        show(name, now_->crowd.depart(name));
      }
    }
  }
  now_ = faults.none() ? nullptr : std::make_unique<present>(faults, controls_->node_id());
  occasions_.clear();
}

injected_faults fault_committer::counts() const noexcept {
  const auto count = [this](fault kind) { return counts_[static_cast<std::size_t>(kind)].get(); };
  injected_faults all;
  all.torn_frames = count(fault::torn_frame);
  all.lying_frames = count(fault::lying_frame);
  all.late_doorbells = count(fault::late_doorbell);
  all.try_agains = count(fault::try_again);
  all.stalls = count(fault::stall);
  all.crowd_moves = count(fault::crowd);
  all.hang_ups = count(fault::hang_up);
  all.hang_ups_sender = count(fault::hang_up_sender);
  all.hang_ups_receiver = count(fault::hang_up_receiver);
  return all;
}

// --- requests

request_handling fault_committer::before_request(const service_client& from, const service_request& request) {
  if (now_ == nullptr) {
    return request_handling::carry_out;
  }
  if (strikes(fault::hang_up, from.number)) {
    committed(fault::hang_up, from.number, fmt::format("hung up instead of handling request {}", request.id));
    controls_->hang_up(from.number, "injected fault, before a request");
    return request_handling::ignore;
  }
  if (!request.refusable) {
    return request_handling::carry_out;
  }
  const auto now = base::clock::now();
  if (strikes(fault::try_again, from.number)) {
    now_->try_again_until = std::max(now_->try_again_until, now + now_->choices.faults().try_again_for);
  } else if (now >= now_->try_again_until) {
    return request_handling::carry_out;
  }
  committed(fault::try_again, from.number, fmt::format("request {} answered TRY_AGAIN", request.id));
  return request_handling::try_again;
}

void fault_committer::after_request(const service_client& from, const service_request& request) {
  if (now_ == nullptr) {
    return;
  }
  bool going = from.going;
  if (request.passed_on_fragment && !going && strikes(fault::hang_up_sender, from.number)) {
    committed(fault::hang_up_sender, from.number, "hung up in the middle of its large message");
    controls_->hang_up(from.number, "injected fault, during a large message from it");
    going = true;
  }
  if (!from.group.empty() && !going) {
    if (const auto choice = strikes(fault::crowd, from.number)) {
      const std::string group(from.group);
      now_->crowd.advance(group, *choice, [&](const crowds::move& m) { show(group, m); });
    }
  }
  if (strikes(fault::stall, from.number)) {
    committed(fault::stall, from.number, "stands still");
    controls_->pause(now_->choices.faults().stall_for);
  }
}

// --- the crowd

/// Sends in corosync's order: first the view, to the group; then the ring, to all clients, in a group or not.
void fault_committer::show(std::string_view group, const crowds::move& m) {
  if (const auto clients = controls_->clients_of(group); !clients.empty()) {
    committed(fault::crowd, clients.front(),
              fmt::format("{} made-up members join, {} leave", m.joined.size(), m.left.size()));
    controls_->show_view(group, m.joined, m.left);
  }
  if (m.ring_changes) {
    controls_->show_ring();
  }
}

std::span<const simulated_member> fault_committer::members_of(std::string_view group) const {
  return now_ == nullptr ? std::span<const simulated_member>{}
                         : std::span<const simulated_member>(now_->crowd.in(group));
}

std::vector<std::uint32_t> fault_committer::nodes() const {
  return now_ == nullptr ? std::vector<std::uint32_t>{} : now_->crowd.nodes();
}

void fault_committer::group_emptied(std::string_view group) {
  if (now_ != nullptr && !now_->crowd.in(group).empty()) {
    show(group, now_->crowd.depart(std::string(group)));
  }
}

// --- events

event_delivery fault_committer::before_event(const service_client& to, const service_event& event) {
  event_delivery how;
  if (now_ == nullptr) {
    return how;
  }
  if (auto choice = strikes(fault::late_doorbell, to.number)) {
    const auto longest = static_cast<std::uint64_t>(now_->choices.faults().late_doorbell_max.count());
    how.doorbell_after = std::chrono::milliseconds(1 + choice->below(longest));
    committed(fault::late_doorbell, to.number, "a doorbell comes late");
  }
  auto torn = strikes(fault::torn_frame, to.number);
  auto lying = strikes(fault::lying_frame, to.number);
  if (!torn && !lying) {
    return how;
  }
  auto& whole = how.instead.emplace(event.head.begin(), event.head.end());
  whole.insert(whole.end(), event.payload.begin(), event.payload.end());
  if (torn) {
    // Cuts off at least a quarter: the end of a ring event is padding, and its loss would not be noticed.
    const std::size_t total = whole.size();
    whole.resize(1 + torn->below(total * 3 / 4));
    committed(fault::torn_frame, to.number,
              fmt::format("an event of {} bytes torn to {}", total, whole.size()));
  } else {
    const auto all = corruptible_fields(whole);
    const lie& one = all[lying->below(all.size())];
    const std::uint32_t value = too_much(one.allowed, *lying);
    base::put(whole.data() + one.at, value);
    committed(fault::lying_frame, to.number,
              fmt::format("an event whose {} is {}, at most {} is valid", one.field, value, one.allowed));
  }
  return how;
}

void fault_committer::after_event(const service_client& to, const service_event& event) {
  if (now_ == nullptr) {
    return;
  }
  bool going = to.going;
  if (more_to_come(event) && strikes(fault::hang_up_receiver, to.number) && !going) {
    committed(fault::hang_up_receiver, to.number, "hung up after a fragment of a large message");
    controls_->hang_up(to.number, "injected fault, during a large message to it");
    going = true;
  }
  if (strikes(fault::hang_up, to.number) && !going) {
    committed(fault::hang_up, to.number, "hung up after an event");
    controls_->hang_up(to.number, "injected fault, after an event");
  }
}

}  // namespace cpgring::testing
