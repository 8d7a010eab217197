#include "simulator/world.hpp"

#include <algorithm>
#include <utility>

namespace cpgring::channel::simulator {

using std::chrono::microseconds;
using std::chrono::milliseconds;

void statistics::operator+=(const statistics& other) noexcept {
  checks += other.checks;
  deliveries += other.deliveries;
  merges += other.merges;
  partitions += other.partitions;
  crashes += other.crashes;
  half_merged += other.half_merged;
  merged += other.merged;
  replayed += other.replayed;
  states_ignored += other.states_ignored;
  restarted += other.restarted;
}

world::world(std::uint64_t seed)
    : random_(seed), nodes_(between(2, 4)), fault_rate_(std::array{.03, .1, .3, 1.}[below(4)]) {
  for (std::uint32_t node = 1; node <= nodes_; ++node) {
    sides_[node] = 0;
  }
  groups_[0] = {};
  timing_.rank_step = std::array{milliseconds(0), milliseconds(1), milliseconds(50)}[below(3)];
  timing_.patience = std::array{milliseconds(0), milliseconds(5), milliseconds(1000)}[below(3)];
  timing_.storm_max = std::array{milliseconds(1), milliseconds(100)}[below(2)];
  leave_share_ = std::array{.1, .3}[below(2)];
  large_share_ = std::array{.25, .5}[below(2)];
  use_share_ = std::array{.15, .35}[below(2)];
}

// --- the carrier -------------------------------------------------------------------------------------------

void world::put(const event& one, const addresses& to) {
  const auto shared = std::make_shared<const event>(one);
  for (const member_address at : to) {
    if (const auto found = processes_.find(at); found != processes_.end()) {
      found->second->in.push_back(shared);
    }
  }
}

std::vector<member> world::list(const addresses& all, reason why) const {
  std::vector<member> members;
  for (const member_address at : all) {
    members.push_back({at.node_id, at.pid, 0, why, true});
  }
  return members;
}

void world::show_view(std::uint32_t side, const addresses& joined, const addresses& left, reason why) {
  event one;
  one.position = positions_++;
  one.members = list(groups_[side], reason::none);
  one.joined = list(joined, why);
  one.left = list(left, why);
  put(one, groups_[side]);
}

/// A node takes the oldest request of a process, and the ring orders it.
void world::take(member_address of, const addresses* only) {
  process& from = *processes_.at(of);
  if (from.out.empty()) {
    return;
  }
  const std::uint32_t side = side_of(of);
  const auto what = from.out.front();
  from.out.pop_front();
  if (what == nullptr) {
    groups_[side].insert(of);
    show_view(side, {of}, {}, reason::join);
  } else if (groups_[side].contains(of)) {
    event one;
    one.position = positions_++;
    one.from = from.self;
    one.what = what;
    put(one, only != nullptr ? *only : groups_[side]);
  }
}

/// The same, if the request is a message.
void world::take_message(member_address of, const addresses& only) {
  const auto found = processes_.find(of);
  if (found != processes_.end() && !found->second->out.empty() && found->second->out.front() != nullptr) {
    take(of, &only);
  }
}

// --- faults ------------------------------------------------------------------------------------------------

void world::start_at(member_address at) {
  auto& one = processes_[at] = std::make_unique<process>(identity{at, ++stays_}, chance(.1), timing_);
  one->out.push_back(nullptr);
}

void world::start() {
  const member_address at{between(1, nodes_), between(1, 3)};
  if (!processes_.contains(at)) {
    start_at(at);
  }
}

void world::count(const process& one) {
  const table_counters& counted = one.tested().counters();
  seen_.merged += counted.merged;
  seen_.replayed += counted.replayed;
  seen_.states_ignored += counted.states_ignored;
  seen_.restarted += counted.restarted;
}

void world::crash(member_address at) {
  for (auto taken = below(static_cast<std::uint32_t>(processes_.at(at)->out.size()) + 1); taken > 0;
       --taken) {
    take(at);
  }
  count(*processes_.at(at));
  processes_.erase(at);
  ++seen_.crashes;
  const std::uint32_t side = side_of(at);
  if (groups_[side].erase(at) != 0) {
    show_view(side, {}, {at}, reason::process_down);
  }
}

/// A side falls into two.
void world::part() {
  std::map<std::uint32_t, std::vector<std::uint32_t>> nodes;
  for (const auto& [node, side] : sides_) {
    nodes[side].push_back(node);
  }
  std::erase_if(nodes, [](const auto& one) { return one.second.size() < 2; });
  if (nodes.empty()) {
    return;
  }
  auto [side, all] = any_of(nodes);
  std::shuffle(all.begin(), all.end(), random_);
  const addresses before = groups_[side];
  const auto first = all.begin() + between(1, static_cast<std::uint32_t>(all.size()) - 1);
  const std::array halves{std::vector(all.begin(), first), std::vector(first, all.end())};
  const auto in = [&](const std::vector<std::uint32_t>& half) {
    addresses some;
    std::copy_if(before.begin(), before.end(), std::inserter(some, some.end()), [&](member_address at) {
      return std::find(half.begin(), half.end(), at.node_id) != half.end();
    });
    return some;
  };
  for (const auto& half : halves) {  // ordered, and delivered on one side only, ahead of the view
    const addresses here = in(half);
    if (chance(.5)) {
      for (const member_address at : here) {
        for (auto times = below(3); times > 0; --times) {
          take_message(at, here);
        }
      }
    }
  }
  ++seen_.partitions;
  groups_.erase(side);
  for (const auto& half : halves) {
    const std::uint32_t next = ++last_side_;
    for (const std::uint32_t node : half) {
      sides_[node] = next;
    }
    groups_[next] = in(half);
    addresses left;
    std::set_difference(before.begin(), before.end(), groups_[next].begin(), groups_[next].end(),
                        std::inserter(left, left.end()));
    show_view(next, {}, left, reason::node_down);
  }
}

/// A request to join that was under way is ordered in the new ring ahead of the exchange of member lists: the
/// other sides hear of that process alone, and from then on of messages of its whole node. Returns it.
member_address world::announce_one_early(const std::vector<std::uint32_t>& meeting) {
  addresses waiting;
  for (const auto& [at, one] : processes_) {
    if (std::find(meeting.begin(), meeting.end(), side_of(at)) != meeting.end() && !one->out.empty() &&
        one->out.front() == nullptr) {
      waiting.insert(at);
    }
  }
  if (waiting.empty() || !chance(.7)) {
    return {};
  }
  const member_address early = any_of(waiting);
  const std::uint32_t home = side_of(early);
  processes_.at(early)->out.pop_front();
  ++seen_.half_merged;
  const std::size_t position = positions_++;
  for (const std::uint32_t side : meeting) {
    const addresses before = groups_[side];
    groups_[side].insert(early);
    event one;
    one.position = position;
    one.members = list(groups_[side], reason::none);
    one.joined = list({early}, reason::join);
    put(one, side == home ? groups_[side] : before);
  }
  for (const member_address at : addresses(groups_[home])) {
    for (auto times = at.node_id == early.node_id ? below(4) : 0; times > 0; --times) {
      process* const from = processes_.contains(at) ? processes_.at(at).get() : nullptr;
      if (from == nullptr || from->out.empty() || from->out.front() == nullptr) {
        break;
      }
      event one;
      one.position = positions_++;
      one.from = from->self;
      one.what = from->out.front();
      from->out.pop_front();
      for (const std::uint32_t side : meeting) {
        addresses to = groups_[side];
        if (side != home) {
          to.erase(early);
        }
        put(one, to);
      }
    }
  }
  return early;
}

/// Two or three sides become one.
void world::meet() {
  if (groups_.size() < 2) {
    return;
  }
  std::vector<std::uint32_t> meeting;
  for (const auto& [side, members] : groups_) {
    meeting.push_back(side);
  }
  std::shuffle(meeting.begin(), meeting.end(), random_);
  meeting.resize(between(2, static_cast<std::uint32_t>(std::min<std::size_t>(3, meeting.size()))));
  for (const std::uint32_t side : meeting) {  // the others drop these: they do not know the node yet
    for (const member_address at : addresses(groups_[side])) {
      for (auto times = below(3); times > 0; --times) {
        take_message(at, groups_[side]);
      }
    }
  }
  ++seen_.merges;
  const member_address early = announce_one_early(meeting);
  const std::uint32_t home = early == member_address{} ? 0 : side_of(early);
  const std::uint32_t next = ++last_side_;
  std::map<std::uint32_t, addresses> before;
  for (const std::uint32_t side : meeting) {
    before[side] = groups_[side];
    groups_[next].insert(before[side].begin(), before[side].end());
    groups_.erase(side);
  }
  for (auto& [node, side] : sides_) {
    side = before.contains(side) ? next : side;
  }
  event one;
  one.position = positions_++;
  one.members = list(groups_[next], reason::none);
  for (auto& [side, old] : before) {
    addresses joined;
    std::set_difference(groups_[next].begin(), groups_[next].end(), old.begin(), old.end(),
                        std::inserter(joined, joined.end()));
    one.joined = list(joined, reason::node_up);
    if (early != member_address{} && side != home) {
      old.erase(early);
    }
    put(one, old);
  }
}

// --- a history ---------------------------------------------------------------------------------------------

void world::handle_next(process& one) {
  const auto next = one.in.front();
  one.in.pop_front();
  one.handle(*next, now_);
  if (!one.silent) {
    rows_.resize(std::max(rows_.size(), next->position + 1));
    rows_[next->position].push_back({one.self, one.views, one.delivered});
    seen_.deliveries += one.delivered.channel != channels ? 1U : 0U;
  }
}

/// Its user does something.
void world::use(process& one) {
  const std::size_t channel = below(channels);
  const double what = fraction();
  if (what < .3) {
    one.join(channel);
  } else if (what < .3 + leave_share_) {
    one.leave(channel);
  } else if (chance(large_share_)) {
    one.send_large(channel);
  } else {
    one.send(channel);
  }
  one.advance(now_);
}

void world::step() {
  const double fault = chance(fault_rate_) ? fraction() : 1;
  now_ += microseconds(below(chance(.01) ? 300000 : 500));
  if (fault < .03) {
    start();
    return;
  }
  if (processes_.empty()) {
    return;
  }
  if (fault < .09) {
    const member_address at = any_address();
    if (fault < .04) {
      crash(at);
    } else if (fault < .05) {
      crash(at);
      start_at(at);
    } else if (fault < .06) {
      part();
    } else if (fault < .08) {
      meet();
    } else {
      processes_.at(at)->stopped = !processes_.at(at)->stopped;
    }
    return;
  }
  process& one = *processes_.at(any_address());
  const double what = fraction();
  if (what < use_share_) {
    if (!one.silent && one.in_carrier && !one.stopped) {
      use(one);
    }
  } else if (what < use_share_ + .05) {
    if (!one.stopped && one.in_carrier) {
      one.advance(now_);
    }
  } else if (chance(.5)) {
    take(one.self.at);
  } else if (!one.in.empty() && !one.stopped) {
    handle_next(one);
  }
}

statistics world::run() {
  for (auto some = between(2, 4); some > 0; --some) {
    start();
  }
  for (auto steps = between(200, 1500); steps > 0; --steps) {
    step();
  }
  come_to_rest();
  check_positions();
  check_end();
  for (const auto& [at, one] : processes_) {
    count(*one);
  }
  return seen_;
}

/// Time goes on to the next moment that a process waits for. False: none waits.
bool world::pass_time() {
  std::optional<base::time_point> next;
  for (const auto& [at, one] : processes_) {
    if (const auto due = one->due(); due && (!next || *due < *next)) {
      next = due;
    }
  }
  if (!next) {
    return false;
  }
  now_ = std::max(now_, *next);
  for (const auto& [at, one] : processes_) {
    one->advance(now_);
  }
  return true;
}

void world::come_to_rest() {
  while (groups_.size() > 1) {
    meet();
  }
  for (const auto& [at, one] : processes_) {
    one->stopped = false;
  }
  for (int i = 0; i < 200000; ++i) {
    std::vector<process*> busy;
    for (const auto& [at, one] : processes_) {
      if (!one->out.empty() || !one->in.empty()) {
        busy.push_back(one.get());
      }
    }
    if (busy.empty()) {
      // Only strangers are outside now, for whom HELLO is repeated for ever.
      const bool all_together = std::all_of(processes_.begin(), processes_.end(), [](const auto& one) {
        return one.second->silent || !one.second->due();
      });
      if (all_together || !pass_time()) {
        return;
      }
      continue;
    }
    process& one = *any_of(busy);
    if (!one.out.empty() && chance(.5)) {
      take(one.self.at);
    } else if (!one.in.empty()) {
      handle_next(one);
    }
  }
  throw violation("the processes never come to rest");
}

// --- checks ------------------------------------------------------------------------------------------------

void world::check_pair(const row& a, const row& b) {
  for (std::size_t channel = 0; channel < channels; ++channel) {
    const auto& view = a.views[channel];
    if (view == nullptr || !std::binary_search(view->begin(), view->end(), b.who)) {
      continue;
    }
    ++seen_.checks;
    require(b.views[channel] != nullptr && *view == *b.views[channel], "views of one channel differ");
    const bool one = a.delivered.channel == channel, other = b.delivered.channel == channel;
    require(one == other && (!one || a.delivered == b.delivered), "deliveries in one channel differ");
  }
}

void world::check_positions() {
  for (const auto& at_once : rows_) {
    for (const row& a : at_once) {
      for (const row& b : at_once) {
        if (&a != &b) {
          check_pair(a, b);
        }
      }
    }
  }
}

/// All are together, each view shows those who want to be in the channel, and what was sent came back.
void world::check_end() {
  std::size_t speaking = 0;
  std::array<members_of_channel, channels> wanted;
  for (const auto& [at, one] : processes_) {
    if (one->silent) {
      continue;
    }
    ++speaking;
    for (const std::size_t channel : one->wanted) {
      wanted[channel].push_back(one->self);
    }
  }
  for (const auto& [at, one] : processes_) {
    if (one->silent) {
      continue;
    }
    require(one->tested().component_size() == speaking, "not all are together in the end");
    for (std::size_t channel = 0; channel < channels; ++channel) {
      const bool member = one->wanted.contains(channel);
      require(member == (one->views[channel] != nullptr), "a join or a leave was not carried out");
      require(!member || *one->views[channel] == wanted[channel], "the last view of a channel is wrong");
      require(!one->large_is_open(channel), "a large message was never delivered");
      std::map<identity, std::uint64_t> last;
      std::set<std::uint64_t> own;
      for (const delivery& each : one->got[channel]) {
        require(last[each.from] < each.message, "messages of one sender are doubled or out of order");
        last[each.from] = each.message;
        if (each.from == one->self) {
          own.insert(each.message);
        }
      }
      for (const std::uint64_t message : one->sent_in_stay(channel)) {
        require(!member || own.contains(message), "an own message did not come back");
      }
    }
  }
}

}  // namespace cpgring::channel::simulator
