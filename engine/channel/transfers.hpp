// Which large messages are under way in the channels of one process: the chunks of each are delivered one by
// one.
//
// A member that is added between the first and the last chunk voids the transfer for everybody, because it
// lacks the beginning; the sender starts again under a new number. Pure; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include <cpgring/view.hpp>

#include "channel/planted_faults.hpp"

namespace cpgring::channel {

class transfers {
 public:
  explicit transfers(member_address self) noexcept : self_(self) {}

  // --- sending ---------------------------------------------------------------------------------------------
  /// A transfer of this process begins in a channel that has none; also after a void. Returns its number.
  std::uint32_t begin(std::uint32_t channel) { return own_[channel] = ++last_number_; }
  /// The number of the own transfer in this channel that is under way.
  [[nodiscard]] std::optional<std::uint32_t> own(std::uint32_t channel) const {
    const auto at = own_.find(channel);
    return at == own_.end() ? std::nullopt : std::optional(at->second);
  }
  /// This process leaves the channel: its transfer is given up.
  void give_up(std::uint32_t channel) { own_.erase(channel); }

  // --- receiving -------------------------------------------------------------------------------------------
  void first(member_address from, std::uint32_t channel, std::uint32_t number) {
    open_[{channel, from}] = number;
  }
  /// True: the chunk belongs to the transfer that is open.
  [[nodiscard]] bool continues(member_address from, std::uint32_t channel, std::uint32_t number) const {
    const auto at = open_.find({channel, from});
    return at != open_.end() && (at->second == number || is_planted(planted_fault::transfer_of_earlier_stay));
  }
  /// The last chunk was delivered. True: the message is whole. An own transfer is complete.
  [[nodiscard]] bool last(member_address from, std::uint32_t channel, std::uint32_t number) {
    if (!continues(from, channel, number)) {
      return false;
    }
    open_.erase({channel, from});
    if (from == self_ && own(channel) == number) {
      own_.erase(channel);
    }
    return true;
  }

  /// A member was added. All open transfers of the channel are void. True: the own one is among them, and has
  /// to begin again.
  [[nodiscard]] bool added(std::uint32_t channel) {
    if (is_planted(planted_fault::transfers_not_voided)) {
      return false;
    }
    const auto mine = open_.find({channel, self_});
    bool again = mine != open_.end() && own(channel) &&
                 (own(channel) == mine->second || is_planted(planted_fault::transfer_of_earlier_stay));
    if (is_planted(planted_fault::restart_before_the_first)) {
      again = own(channel).has_value();
    }
    forget(channel);
    return again;
  }
  /// `who` left the channel.
  void left(member_address who, std::uint32_t channel) { open_.erase({channel, who}); }
  /// This process has left the channel.
  void forget(std::uint32_t channel) {
    open_.erase(open_.lower_bound({channel, member_address{}}),
                open_.upper_bound({channel, member_address{UINT32_MAX, UINT32_MAX}}));
  }
  [[nodiscard]] bool empty() const noexcept { return open_.empty() && own_.empty(); }

 private:
  const member_address self_;
  std::uint32_t last_number_ = 0;
  std::unordered_map<std::uint32_t, std::uint32_t> own_;  // channel -> number
  std::map<std::pair<std::uint32_t, member_address>, std::uint32_t> open_;
};

}  // namespace cpgring::channel
