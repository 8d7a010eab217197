#include "simulator/process.hpp"

#include <algorithm>

namespace cpgring::channel::simulator {

void process::join(std::size_t channel) {
  if (wanted.insert(channel).second) {
    auto number = table_.join(name_of(channel));
    require(number.has_value(), "a join was refused");
    numbers_[channel] = *number;
    in_stay_[channel].clear();
  }
}

void process::leave(std::size_t channel) {
  if (wanted.erase(channel) != 0) {
    require(table_.leave(numbers_[channel]).has_value(), "a leave was refused");
    large_[channel] = 0;
  }
}

/// Nothing: it is not in the channel, its JOIN was not sent, or a large message goes first.
std::optional<alias> process::sends_as(std::size_t channel) const {
  if (!wanted.contains(channel) || large_[channel] != 0) {
    return std::nullopt;
  }
  return table_.alias_for(numbers_[channel]);
}

void process::send(std::size_t channel) {
  if (const auto as = sends_as(channel)) {
    in_stay_[channel].push_back(++messages_);
    out.push_back(std::make_shared<record>(data{*as, messages_}));
  }
}

void process::send_large(std::size_t channel) {
  if (sends_as(channel)) {
    in_stay_[channel].push_back(++messages_);
    large_[channel] = messages_;
    begin_large(channel);
  }
}

void process::begin_large(std::size_t channel) {
  const alias as = *table_.alias_for(numbers_[channel]);
  const std::uint32_t transfer = table_.large().begin(numbers_[channel]);
  for (const auto part : {chunk::part::first, chunk::part::middle, chunk::part::last}) {
    out.push_back(std::make_shared<record>(chunk{part, as, transfer, large_[channel]}));
  }
}

void process::restart_transfer(std::uint32_t number) {
  for (std::size_t channel = 0; channel < channels; ++channel) {
    if (wanted.contains(channel) && numbers_[channel] == number && large_[channel] != 0) {
      begin_large(channel);
    }
  }
}

void process::changed(const light_view& now) {
  const std::string& name = *table_.channels()[now.channel].name;
  auto& shown = views[static_cast<std::size_t>(name[0] - 'a')];
  auto next = std::make_shared<members_of_channel>();
  for (const light_member& one : now.members) {
    next->push_back({one.at, one.stay});
  }
  // The view is the one before, without those who left, with those who joined.
  members_of_channel expected = shown ? *shown : members_of_channel();
  bool own_left = false, own_joined = false;
  for (const light_member& one : now.left) {
    require(std::erase(expected, identity{one.at, one.stay}) == 1 || !shown, "who left was no member");
    own_left = own_left || one.at == self.at;
  }
  for (const light_member& one : now.joined) {
    expected.push_back({one.at, one.stay});
    own_joined = own_joined || one.at == self.at;
  }
  std::sort(expected.begin(), expected.end());
  require(own_joined == !shown, "the first view is not the one of the own join");
  require(own_joined || expected == *next, "a view does not follow from the one before");
  shown = own_left ? nullptr : std::move(next);
}

void process::handle(const event& one, base::time_point now) {
  delivered = {};
  if (one.what == nullptr) {
    in_carrier = true;
    if (!silent) {
      table_.carrier_view(one.members, one.joined, one.left, now);
    }
  } else if (!silent && in_carrier) {
    message(one.from, *one.what);
  }
  advance(now);
}

void process::message(const identity& from, const record& what) {
  if (const auto* const a = std::get_if<hello_record>(&what)) {
    table_.deliver(from.at, from.stay, *a);
  } else if (const auto* const b = std::get_if<state_record>(&what)) {
    table_.deliver(from.at, from.stay, *b);
  } else if (const auto* const c = std::get_if<join_record>(&what)) {
    table_.deliver(from.at, from.stay, *c);
  } else if (const auto* const d = std::get_if<leave_record>(&what)) {
    table_.deliver(from.at, from.stay, *d);
  } else if (const auto* const sender = table_.sender(from.at, from.stay)) {
    const auto* const small = std::get_if<data>(&what);
    const auto* const piece = std::get_if<chunk>(&what);
    const std::uint32_t number = table_.receives(*sender, small != nullptr ? small->as : piece->as);
    if (number == no_channel) {
      return;
    }
    const std::string& name = *table_.channels()[number].name;
    const auto channel = static_cast<std::size_t>(name[0] - 'a');
    if (small != nullptr) {
      delivered = {channel, from, small->message};
    } else if (piece->which == chunk::part::first) {
      table_.large().first(from.at, number, piece->transfer);
    } else if (piece->which == chunk::part::last) {
      if (table_.large().last(from.at, number, piece->transfer)) {
        delivered = {channel, from, piece->message};
      }
      if (from == self && wanted.contains(channel) && !table_.large().own(number)) {
        large_[channel] = 0;
      }
    }
    if (delivered.channel != channels) {
      got[channel].push_back(delivered);
    }
  }
}

}  // namespace cpgring::channel::simulator
