// What this process asks for: channels to join and to leave, and the records that are due.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "channel/table.hpp"

namespace cpgring::channel {

result<std::uint32_t> table::join(std::string_view name) {
  const std::uint32_t known = directory_.find(name);
  if (known != no_channel && own_.contains(known)) {
    return fail(errc::exist, fmt::format("this process is in channel '{}' already", name));
  }
  alias as = 0;
  if (!free_aliases_.empty()) {
    as = free_aliases_.back();
    free_aliases_.pop_back();
  } else if (next_alias_ < aliases_max) {
    as = static_cast<alias>(next_alias_++);
  } else {
    return fail(errc::no_resources,
                fmt::format("a process can be in {} channels of a carrier: leave some, or use more carriers",
                            aliases_max));
  }
  const std::uint32_t channel = directory_.use(name);  // until it has been left
  own_[channel] = as;
  requests_.push_back({true, as, channel, reason::join});
  return channel;
}

result<void> table::leave(std::uint32_t channel, reason why) {
  const auto at = own_.find(channel);
  if (at == own_.end()) {
    return fail(errc::not_joined, "this process is not in that channel");
  }
  const alias as = at->second;
  own_.erase(at);
  transfers_.give_up(channel);
  const auto waiting = std::find_if(requests_.begin(), requests_.end(),
                                    [as](const request& one) { return one.joins && one.as == as; });
  if (waiting != requests_.end()) {  // nobody has heard of it
    requests_.erase(waiting);
    free_aliases_.push_back(as);
    directory_.release(channel);
    return {};
  }
  requests_.push_back({false, as, channel, why});
  return {};
}

std::optional<alias> table::alias_for(std::uint32_t channel) const {
  const auto at = own_.find(channel);
  if (at == own_.end()) {
    return std::nullopt;
  }
  const bool waits = std::any_of(requests_.begin(), requests_.end(),
                                 [&](const request& one) { return one.joins && one.channel == channel; });
  return waits ? std::nullopt : std::optional(at->second);
}

/// A process that comes to a set in use would otherwise show views of itself alone first, and those of the
/// merge after them.
bool table::may_announce(base::time_point now) const noexcept {
  return together_ != 0 && (!fresh_ || members_.size() == 1 || (patience_until_ && now >= *patience_until_));
}

void table::advance(base::time_point now) {
  if (hello_due_ && now >= *hello_due_ && hello_needed()) {
    const hello_record one{{self_, stay_, ++hellos_sent_}};
    hello_due_ = base::later(now, repeat_);
    repeat_ = std::min(repeat_ * 2, timing_.repeat_max);
    listener_.send(one);
    if (is_planted(planted_fault::table_of_the_sending)) {
      listener_.send(snapshot(one.id));
    }
  }
  if (!hello_needed()) {
    hello_due_.reset();
  }
  if (!requests_.empty() && may_announce(now)) {
    fresh_ = false;
    send_requests();
  }
}

/// Neighbours of one kind go in one record.
void table::send_requests() {
  while (!requests_.empty()) {
    const std::uint64_t first = operations_sent_ + 1;
    if (requests_.front().joins) {
      join_record all;
      all.first_operation = first;
      for (; !requests_.empty() && requests_.front().joins; requests_.pop_front()) {
        const request& one = requests_.front();
        all.entries.push_back({one.as, *directory_[one.channel].name});
      }
      operations_sent_ += all.entries.size();
      listener_.send(all);
    } else {
      leave_record all;
      all.first_operation = first;
      for (; !requests_.empty() && !requests_.front().joins; requests_.pop_front()) {
        all.entries.push_back({requests_.front().as, requests_.front().why});
      }
      operations_sent_ += all.entries.size();
      listener_.send(all);
    }
  }
}

std::optional<base::time_point> table::due() const noexcept {
  std::optional<base::time_point> at = hello_due_;
  if (!requests_.empty() && together_ != 0 && patience_until_ && (!at || *patience_until_ < *at)) {
    at = patience_until_;
  }
  return at;
}

}  // namespace cpgring::channel
