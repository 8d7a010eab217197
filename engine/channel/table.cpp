#include "channel/table.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.hpp"

namespace cpgring::channel {

table::table(member_address self, std::uint64_t stay, table_listener& listener, const table_timing& timing)
    : self_(self), stay_(stay), listener_(listener), timing_(timing), transfers_(self) {}

table::~table() = default;

process* table::find(member_address at) noexcept {
  const auto found = known_.find(at);
  return found == known_.end() ? nullptr : found->second.get();
}

const process* table::sender(member_address from, std::uint64_t stay) const noexcept {
  const auto found = known_.find(from);
  if (found == known_.end() || !found->second->together || found->second->stay != stay) {
    return nullptr;
  }
  return found->second.get();
}

// --- views of the carrier ----------------------------------------------------------------------------------

void table::carrier_view(std::span<const member> members, std::span<const member> joined,
                         std::span<const member> left, base::time_point now) {
  for (const member& one : left) {  // first those who left: one address may have left and joined
    remove(one.address(), one.why);
  }
  members_.clear();
  for (const member& one : members) {
    members_.insert(one.address());
  }
  bool others = false, first = false;
  for (const member& one : joined) {
    others = others || one.address() != self_;
    first = first || one.address() == self_;
  }
  if (first && find(self_) == nullptr) {
    auto& own = known_[self_] = std::make_unique<process>();
    own->at = self_;
    own->stay = stay_;
    own->together = true;
    together_ = 1;
    patience_until_ = base::later(now, timing_.patience);
  }
  CPGRING_CHECK(find(self_) != nullptr && is_member(self_));
  if (others || first) {
    begin_epoch(now);
  }
  if (hello_needed()) {
    plan_hello(now);
  }
  show_changes();
}

/// The process has left the carrier's group.
void table::remove(member_address at, reason why) {
  log_.erase(at);
  hellos_.erase(at);
  const auto found = known_.find(at);
  if (found == known_.end()) {
    return;
  }
  process& gone = *found->second;
  for (std::size_t as = 0; as < gone.by_alias.size(); ++as) {
    apply_leave(gone, static_cast<alias>(as), why);
  }
  if (gone.together) {
    --together_;
  }
  known_.erase(found);
}

/// Somebody has joined the carrier: who is not in the component is unknown again, because those who have just
/// come lack what was said before.
void table::begin_epoch(base::time_point now) {
  own_spoken_ = false;
  hellos_.clear();
  log_.clear();
  log_bytes_ = 0;
  for (auto at = known_.begin(); at != known_.end();) {
    if (at->second->together) {
      ++at;
    } else {
      forget(at++);
    }
  }
  const bool storm = epoch_began_ != base::time_point{} && now - epoch_began_ < 2 * timing_.storm_max;
  storm_ = storm ? std::clamp(storm_ * 2, timing_.storm_min, timing_.storm_max) : base::nanoseconds(0);
  epoch_began_ = now;
  repeat_ = timing_.repeat_min;
  hello_due_.reset();
}

/// Forgets a process that is not in the component.
void table::forget(std::map<member_address, std::unique_ptr<process>>::iterator at) {
  process& gone = *at->second;
  for (std::size_t as = 0; as < gone.by_alias.size(); ++as) {
    const std::uint32_t channel = directory_.unbind(gone, static_cast<alias>(as));
    if (channel != no_channel) {
      directory_.release(channel);
    }
  }
  known_.erase(at);
}

// --- HELLO and STATE ---------------------------------------------------------------------------------------

std::uint32_t table::rank() const noexcept {
  std::uint32_t below = 0;
  for (const auto& [at, one] : known_) {
    if (at == self_) {
      break;
    }
    below += one->together ? 1U : 0U;
  }
  return below;
}

void table::plan_hello(base::time_point now) {
  const base::time_point at = base::later(now, storm_ + rank() * timing_.rank_step);
  hello_due_ = hello_due_ ? std::min(*hello_due_, at) : at;
}

void table::deliver(member_address from, std::uint64_t stay, const hello_record& one) {
  if (!is_member(from)) {
    return;
  }
  if (one.id.from != from || one.id.stay != stay) {
    ++counters_.refused;
    return;
  }
  hellos_[from] = one.id;
  if (from == self_ && stay == stay_ && !own_spoken_ && !is_planted(planted_fault::table_of_the_sending)) {
    listener_.send(snapshot(one.id));
  }
}

state_record table::snapshot(const hello_id& id) const {
  state_record all;
  all.id = id;
  std::unordered_map<std::uint32_t, std::uint32_t> numbers;  // channel -> index of its name
  for (const auto& [at, one] : known_) {
    if (!one->together) {
      continue;
    }
    process_state& entry = all.processes.emplace_back();
    entry.at = at;
    entry.stay = one->stay;
    entry.operations = one->operations;
    for (std::size_t as = 0; as < one->by_alias.size(); ++as) {
      const std::uint32_t channel = one->by_alias[as];
      if (channel == no_channel) {
        continue;
      }
      const auto [name, added] = numbers.emplace(channel, static_cast<std::uint32_t>(all.names.size()));
      if (added) {
        all.names.push_back(*directory_[channel].name);
      }
      if (!entry.runs.empty()) {
        process_state::run& last = entry.runs.back();
        if (last.first + last.length == as && last.name + last.length == name->second) {
          ++last.length;
          continue;
        }
      }
      entry.runs.push_back({static_cast<alias>(as), name->second, 1});
    }
  }
  return all;
}

void table::deliver(member_address from, std::uint64_t stay, const state_record& one) {
  if (!is_member(from)) {
    return;
  }
  const auto position = hellos_.find(from);
  const bool counts = position != hellos_.end() && position->second == one.id && one.id.stay == stay;
  if (!counts && !is_planted(planted_fault::state_without_hello)) {
    ++counters_.states_ignored;
    return;
  }
  const process* const sender = find(from);
  if (sender != nullptr && sender->together) {
    own_spoken_ = true;
    hello_due_.reset();
  } else {
    for (const process_state& each : one.processes) {
      if (is_member(each.at) && find(each.at) == nullptr) {
        learn(one, each);
      }
    }
  }
  if (own_spoken_ || is_planted(planted_fault::merge_before_own_state)) {
    merge_spoken();
  }
  show_changes();
}

/// A process of another component has become known.
void table::learn(const state_record& from, const process_state& one) {
  auto& slot = known_[one.at] = std::make_unique<process>();
  slot->at = one.at;
  slot->stay = one.stay;
  slot->operations = one.operations;
  for (const auto& each : one.runs) {
    for (std::uint32_t i = 0; i < each.length; ++i) {
      const std::uint64_t name = std::uint64_t{each.name} + i;
      const std::uint32_t as = std::uint32_t{each.first} + i;
      if (name >= from.names.size() || as > alias_max ||
          !directory_.bind(*slot, static_cast<alias>(as), from.names[name])) {
        ++counters_.refused;
        break;  // of a run that is wrong, the rest is not believed
      }
    }
  }
  ++counters_.merged;
  const auto logged_here = log_.find(one.at);
  if (logged_here == log_.end()) {
    return;
  }
  for (const logged& each : logged_here->second) {
    if (is_planted(planted_fault::log_not_replayed) || each.stay != slot->stay ||
        each.operation <= slot->operations) {
      continue;
    }
    if (each.operation != slot->operations + 1) {
      listener_.inconsistent(
          error(errc::service_lost, fmt::format("operation {} of process {}:{} is missing",
                                                slot->operations + 1, one.at.node_id, one.at.pid)));
      return;
    }
    ++counters_.replayed;
    ++slot->operations;
    apply(*slot, each, reason::none);
  }
  log_.erase(logged_here);
}

/// All components that have spoken are one with the own.
void table::merge_spoken() {
  for (const auto& [at, one] : known_) {
    if (one->together) {
      continue;
    }
    one->together = true;
    ++together_;
    fresh_ = false;
    for (const std::uint32_t channel : one->by_alias) {
      if (channel != no_channel) {
        changes_.push_back({channel, {at, one->stay, reason::node_up}, true});
      }
    }
  }
}

// --- JOIN and LEAVE ----------------------------------------------------------------------------------------

/// False: this process must leave the carrier, or the record does not count.
bool table::in_sequence(process& who, std::uint64_t stay, std::uint64_t first) {
  if (who.stay != stay) {
    ++counters_.refused;
    return false;
  }
  if (first != who.operations + 1) {
    listener_.inconsistent(
        error(errc::service_lost,
              fmt::format("process {}:{} sent operation {} after operation {}: something was lost between",
                          who.at.node_id, who.at.pid, first, who.operations)));
    return false;
  }
  return true;
}

/// Keeps an operation of a process outside the component.
void table::log(member_address from, logged one) {
  log_bytes_ += sizeof one + one.name.size();
  if (log_bytes_ > log_bytes_max) {
    log_.clear();
    log_bytes_ = 0;
    listener_.inconsistent(
        error(errc::overloaded,
              fmt::format("processes that are not together with this one have joined and left channels so "
                          "often that {} bytes do not hold it; {}:{} was the last one",
                          log_bytes_max, from.node_id, from.pid)));
    return;
  }
  log_[from].push_back(std::move(one));
}

void table::deliver(member_address from, std::uint64_t stay, const join_record& one) {
  if (!is_member(from)) {
    return;
  }
  process* const who = find(from);
  if (who != nullptr && !in_sequence(*who, stay, one.first_operation)) {
    return;
  }
  std::uint64_t number = one.first_operation;
  for (const join_record::entry& each : one.entries) {
    if (who == nullptr) {
      log(from, {stay, number, each.as, true, each.name, reason::join});
    } else {
      who->operations = number;
      apply_join(*who, each.as, each.name, reason::join);
    }
    ++number;
  }
  show_changes();
}

void table::deliver(member_address from, std::uint64_t stay, const leave_record& one) {
  if (!is_member(from)) {
    return;
  }
  process* const who = find(from);
  if (who != nullptr && !in_sequence(*who, stay, one.first_operation)) {
    return;
  }
  std::uint64_t number = one.first_operation;
  for (const leave_record::entry& each : one.entries) {
    if (who == nullptr) {
      log(from, {stay, number, each.as, false, {}, each.why});
    } else {
      who->operations = number;
      apply_leave(*who, each.as, each.why);
    }
    ++number;
  }
  show_changes();
}

void table::apply(process& who, const logged& one, reason join_reason) {
  one.joins ? apply_join(who, one.as, one.name, join_reason) : apply_leave(who, one.as, one.why);
}

void table::apply_join(process& who, alias as, std::string_view name, reason why) {
  if (as > alias_max || !directory_.bind(who, as, name)) {
    ++counters_.refused;
    return;
  }
  if (who.together) {
    const std::uint32_t channel = who.by_alias[as];
    if (who.at == self_) {
      directory_.set_joined(channel, true);
    }
    changes_.push_back({channel, {who.at, who.stay, why}, true});
  }
}

void table::apply_leave(process& who, alias as, reason why) {
  const std::uint32_t channel = directory_.unbind(who, as);
  if (channel == no_channel) {
    return;
  }
  if (!who.together) {
    directory_.release(channel);
    return;
  }
  if (who.at == self_) {
    free_aliases_.push_back(as);
  }
  changes_.push_back({channel, {who.at, who.stay, why}, false});  // released when it has been shown
}

}  // namespace cpgring::channel
