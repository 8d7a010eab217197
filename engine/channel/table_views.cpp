// The views of channels that follow from one event of the carrier.
#include <algorithm>
#include <utility>

#include "channel/table.hpp"

namespace cpgring::channel {

/// Shows one view for each changed channel that this process is in.
void table::show_changes() {
  if (changes_.empty()) {
    return;
  }
  std::vector<change> all = std::exchange(changes_, {});
  std::stable_sort(all.begin(), all.end(),
                   [](const change& a, const change& b) { return a.channel < b.channel; });
  for (std::size_t at = 0; at < all.size();) {
    std::size_t end = at + 1;
    while (end < all.size() && all[end].channel == all[at].channel) {
      ++end;
    }
    const std::span<const change> of_one(all.data() + at, end - at);
    if (directory_[all[at].channel].joined) {
      show(all[at].channel, of_one);
    }
    for (const change& one : of_one) {
      if (!one.joins) {
        directory_.release(one.channel);
        if (one.who.at == self_) {
          directory_.release(one.channel);  // used since join()
        }
      }
    }
    at = end;
  }
  all.clear();
  changes_ = std::move(all);  // keeps the memory
}

void table::show(std::uint32_t channel, std::span<const change> changes) {
  view_members_.clear();
  view_joined_.clear();
  view_left_.clear();
  bool own_left = false;
  for (const change& one : changes) {
    (one.joins ? view_joined_ : view_left_).push_back(one.who);
    own_left = own_left || (!one.joins && one.who.at == self_);
    if (!one.joins) {
      transfers_.left(one.who.at, channel);
    }
  }
  for (const process* one : directory_[channel].members) {
    if (one->together) {
      view_members_.push_back({one->at, one->stay, reason::none});
    }
  }
  const bool restart = !view_joined_.empty() && transfers_.added(channel);
  if (own_left) {
    transfers_.forget(channel);
    directory_.set_joined(channel, false);
  }
  listener_.changed({channel, view_members_, view_joined_, view_left_});
  if (restart) {
    ++counters_.restarted;
    listener_.restart_transfer(channel);
  }
}

}  // namespace cpgring::channel
