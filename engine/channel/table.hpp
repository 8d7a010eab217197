// The table of one carrier: which process is in which channel. Each process keeps its own, changed only by
// what the carrier delivers, so all that are together have the same one at each position.
//
// A component is a set of processes that share one table. The members of a channel, for this process, are
// those of its own component that have announced it. Components shrink by views of the carrier. They grow
// by STATE records: the representative of each component (its lowest address) sends HELLO, and where its own
// HELLO is delivered it sends STATE, the table at exactly that position. Two components are one from the
// position where the later of their STATEs is delivered. Nobody waits meanwhile, and a process that is
// stopped, or knows nothing of this protocol, delays nobody.
//
// Pure: events in, calls of the listener out; no ring, and time comes with the events. One thread.
// Invariants:
// - I1 This process is in its component, and the component is a part of the carrier's members.
// - I2 Two processes that are together have the same component, and the same entries for all of it, after
// each position.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <cpgring/result.hpp>
#include <cpgring/view.hpp>

#include "base/clock.hpp"
#include "channel/directory.hpp"
#include "channel/records.hpp"
#include "channel/transfers.hpp"

namespace cpgring::channel {

/// A member of a channel.
struct light_member {
  member_address at;
  std::uint64_t stay = 0;
  reason why = reason::none;
  friend bool operator==(const light_member&, const light_member&) = default;
};

/// A new view of a channel that this process is in, or has just left. Valid during the call.
struct light_view {
  std::uint32_t channel = no_channel;
  std::span<const light_member> members;  // sorted by address
  std::span<const light_member> joined, left;
};

class table_listener {
 public:
  /// A record to be multicast on the carrier, in the order of the calls.
  virtual void send(const hello_record& one) = 0;
  virtual void send(const state_record& one) = 0;
  virtual void send(const join_record& one) = 0;
  virtual void send(const leave_record& one) = 0;
  virtual void changed(const light_view& now) = 0;
  /// The own transfer of this channel is void: begin it again.
  virtual void restart_transfer(std::uint32_t channel) = 0;
  /// This table can't be right any more: the carrier lost something. Leave the carrier's group and come back.
  virtual void inconsistent(error why) = 0;

 protected:
  ~table_listener() = default;
};

struct table_timing {
  /// The member of rank k of a component sends HELLO after k times this, if its component has not spoken.
  base::nanoseconds rank_step = std::chrono::milliseconds(50);
  /// HELLO is repeated after this; each time it is doubled.
  base::nanoseconds repeat_min = std::chrono::milliseconds(200), repeat_max = std::chrono::seconds(5);
  /// HELLO waits for this while processes keep coming; doubled from each of them to the next.
  base::nanoseconds storm_min = std::chrono::milliseconds(1), storm_max = std::chrono::milliseconds(100);
  /// A process that has just come announces nothing for this time, unless it is together with others sooner.
  base::nanoseconds patience = std::chrono::seconds(1);
};

/// Operations of processes outside the component that are kept for their STATE. With more, this process
/// leaves the carrier and comes back.
inline constexpr std::size_t log_bytes_max = std::size_t{64} << 20;

struct table_counters {
  std::uint64_t states_ignored = 0;  // STATE without a HELLO of this epoch
  std::uint64_t replayed = 0;        // operations between a HELLO and its STATE
  std::uint64_t merged = 0;          // processes that came by a STATE
  std::uint64_t refused = 0;         // records that a correct process does not send
  std::uint64_t restarted = 0;       // own transfers
};

class table {
 public:
  /// `stay`: a random number for this stay in the carrier's group.
  table(member_address self, std::uint64_t stay, table_listener& listener, const table_timing& timing = {});
  ~table();
  table(const table&) = delete;
  table& operator=(const table&) = delete;

  // --- requests --------------------------------------------------------------------------------------------
  /// Returns the channel's number, valid until it has been left. The view that shows the join follows.
  /// Errors: exist (this process is in it, or about to be), no_resources (65 280 channels).
  result<std::uint32_t> join(std::string_view name);
  /// Errors: not_joined.
  result<void> leave(std::uint32_t channel, reason why = reason::leave);
  /// The alias under which this process sends in a channel. None: its JOIN has not been sent yet.
  [[nodiscard]] std::optional<alias> alias_for(std::uint32_t channel) const;
  [[nodiscard]] transfers& large() noexcept { return transfers_; }

  // --- events, in the carrier's order ----------------------------------------------------------------------
  void carrier_view(std::span<const member> members, std::span<const member> joined,
                    std::span<const member> left, base::time_point now);
  void deliver(member_address from, std::uint64_t stay, const hello_record& one);
  void deliver(member_address from, std::uint64_t stay, const state_record& one);
  void deliver(member_address from, std::uint64_t stay, const join_record& one);
  void deliver(member_address from, std::uint64_t stay, const leave_record& one);
  /// The sender of a pack, if its messages are for this process. Null: it is not in the component.
  [[nodiscard]] const process* sender(member_address from, std::uint64_t stay) const noexcept;
  /// The channel in which a message of `from` under this alias is delivered here. no_channel: none.
  [[nodiscard]] std::uint32_t receives(const process& from, alias as) const noexcept {
    const std::uint32_t channel = from.channel_of(as);
    return channel != no_channel && directory_[channel].joined ? channel : no_channel;
  }

  /// Sends what is due. Called after each batch of events and requests, and when due() has come.
  void advance(base::time_point now);
  [[nodiscard]] std::optional<base::time_point> due() const noexcept;

  // --- state -----------------------------------------------------------------------------------------------
  /// All members of the carrier are together.
  [[nodiscard]] bool all_together() const noexcept { return together_ == members_.size() && together_ != 0; }
  [[nodiscard]] std::size_t component_size() const noexcept { return together_; }
  [[nodiscard]] const directory& channels() const noexcept { return directory_; }
  [[nodiscard]] const table_counters& counters() const noexcept { return counters_; }

 private:
  struct logged {
    std::uint64_t stay, operation;
    alias as;
    bool joins;
    std::string name;
    reason why;
  };
  struct request {
    bool joins;
    alias as;
    std::uint32_t channel;
    reason why;
  };
  struct change {
    std::uint32_t channel;
    light_member who;
    bool joins;
  };

  [[nodiscard]] process* find(member_address at) noexcept;
  [[nodiscard]] bool is_member(member_address at) const noexcept { return members_.contains(at); }
  void remove(member_address at, reason why);
  void log(member_address from, logged one);
  void begin_epoch(base::time_point now);
  void forget(std::map<member_address, std::unique_ptr<process>>::iterator at);
  void plan_hello(base::time_point now);
  [[nodiscard]] bool hello_needed() const noexcept { return !own_spoken_ && together_ < members_.size(); }
  [[nodiscard]] std::uint32_t rank() const noexcept;
  [[nodiscard]] state_record snapshot(const hello_id& id) const;
  void learn(const state_record& from, const process_state& one);
  void merge_spoken();
  void apply(process& who, const logged& one, reason join_reason);
  void apply_join(process& who, alias as, std::string_view name, reason why);
  void apply_leave(process& who, alias as, reason why);
  bool in_sequence(process& who, std::uint64_t stay, std::uint64_t first);
  void show_changes();
  void show(std::uint32_t channel, std::span<const change> changes);
  [[nodiscard]] bool may_announce(base::time_point now) const noexcept;
  void send_requests();

  const member_address self_;
  const std::uint64_t stay_;
  table_listener& listener_;
  const table_timing timing_;

  std::set<member_address> members_;  // of the carrier
  std::map<member_address, std::unique_ptr<process>> known_;
  std::size_t together_ = 0;  // number of processes in the component
  directory directory_;
  transfers transfers_;

  // This epoch: it begins when somebody joins the carrier.
  bool own_spoken_ = false;
  std::map<member_address, hello_id> hellos_;  // the last one that was delivered of each
  std::map<member_address, std::vector<logged>> log_;
  std::size_t log_bytes_ = 0;
  std::optional<base::time_point> hello_due_;
  base::nanoseconds repeat_{}, storm_{};
  base::time_point epoch_began_{};
  std::uint32_t hellos_sent_ = 0;

  // Own channels.
  std::unordered_map<std::uint32_t, alias> own_;  // channels that this process wants to be in
  std::vector<alias> free_aliases_;
  std::uint32_t next_alias_ = 0;
  std::deque<request> requests_;  // not sent yet
  std::uint64_t operations_sent_ = 0;
  bool fresh_ = true;  // it has been together with nobody yet
  std::optional<base::time_point> patience_until_;

  std::vector<change> changes_;  // of the event that is being applied
  std::vector<light_member> view_members_, view_joined_, view_left_;
  table_counters counters_;
};

}  // namespace cpgring::channel
