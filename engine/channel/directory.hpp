// The channels that one process knows of on a carrier: names, numbers, and which processes have announced
// each.
//
// A channel is known while a known process has announced it, or while this process uses it. Pure; one thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <cpgring/view.hpp>

#include "channel/records.hpp"

namespace cpgring::channel {

inline constexpr std::uint32_t no_channel = UINT32_MAX;

/// A process whose announcements are known.
struct process {
  member_address at;
  std::uint64_t stay = 0;
  std::uint64_t operations = 0;  // the number of the last one that was applied
  bool together = false;         // it is in the component of this process
  std::vector<std::uint32_t> by_alias;

  [[nodiscard]] std::uint32_t channel_of(alias as) const noexcept {
    return as < by_alias.size() ? by_alias[as] : no_channel;
  }
};

class directory {
 public:
  struct entry {
    const std::string* name = nullptr;
    std::vector<process*> members;  // sorted by address
    std::uint32_t users = 0;        // members, and uses by this process
    bool joined = false;            // this process is a member
  };

  directory() = default;
  directory(const directory&) = delete;
  directory& operator=(const directory&) = delete;

  [[nodiscard]] const entry& operator[](std::uint32_t channel) const noexcept { return entries_[channel]; }
  void set_joined(std::uint32_t channel, bool yes) noexcept { entries_[channel].joined = yes; }
  [[nodiscard]] std::size_t size() const noexcept { return numbers_.size(); }
  [[nodiscard]] std::uint32_t find(std::string_view name) const {
    const auto at = numbers_.find(name);
    return at == numbers_.end() ? no_channel : at->second;
  }

  /// The number of a channel; it stays valid until as many calls of release().
  std::uint32_t use(std::string_view name) {
    auto at = numbers_.find(name);
    if (at == numbers_.end()) {
      std::uint32_t number = 0;
      if (free_.empty()) {
        number = static_cast<std::uint32_t>(entries_.size());
        entries_.emplace_back();
      } else {
        number = free_.back();
        free_.pop_back();
      }
      at = numbers_.emplace(std::string(name), number).first;
      entries_[number].name = &at->first;
    }
    ++entries_[at->second].users;
    return at->second;
  }
  void release(std::uint32_t channel) {
    entry& one = entries_[channel];
    if (--one.users == 0) {
      numbers_.erase(numbers_.find(*one.name));
      one = {};
      free_.push_back(channel);
    }
  }

  /// False: the alias is bound already, or the process is in that channel; nothing has changed.
  bool bind(process& who, alias as, std::string_view name) {
    if (who.channel_of(as) != no_channel) {
      return false;
    }
    const std::uint32_t channel = use(name);
    auto& members = entries_[channel].members;
    const auto at = place(members, who.at);
    if (at != members.end() && (*at)->at == who.at) {
      release(channel);
      return false;
    }
    members.insert(at, &who);
    if (as >= who.by_alias.size()) {
      who.by_alias.resize(std::size_t{as} + 1, no_channel);
    }
    who.by_alias[as] = channel;
    return true;
  }
  /// Returns the channel that the alias named, still in use; call release() afterwards. no_channel: none.
  std::uint32_t unbind(process& who, alias as) {
    const std::uint32_t channel = who.channel_of(as);
    if (channel != no_channel) {
      who.by_alias[as] = no_channel;
      auto& members = entries_[channel].members;
      members.erase(place(members, who.at));
    }
    return channel;
  }

 private:
  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  static std::vector<process*>::iterator place(std::vector<process*>& members, member_address at) {
    return std::lower_bound(members.begin(), members.end(), at,
                            [](const process* one, member_address a) { return one->at < a; });
  }

  std::vector<entry> entries_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::string, std::uint32_t, text_hash, std::equal_to<>> numbers_;
};

}  // namespace cpgring::channel
