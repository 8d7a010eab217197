// One handle of a member: multicasts, records its events, leaves and returns, and checks what one process can
// check: bytes, fences, states, and that accepted messages are delivered before an orderly leave.
//
// Messages of one life are multicast from one thread, because only then do they have an order: the member's
// thread or the engine's driving thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <cpgring/cpgring.hpp>

#include "campaign/history_file.hpp"
#include "checker/history.hpp"

namespace cpgring::campaign {

using steady = std::chrono::steady_clock;

struct participant_options {
  handle_options handle;
  std::uint64_t first_life = 0;  ///< this life and the following ones belong to the handle
  std::uint32_t node = 0;
  std::string history;
  double messages_a_second = 200;
  std::size_t in_flight_max = 32;
  std::size_t message_max = 0;  ///< 0: the atomic limit
  double large_share = 0.02;    ///< of the messages; up to message_max
  bool drives_itself = false;   ///< multicasts on the driving thread
  double restless_ms = 0;       ///< leaves after about that time; 0: stays
  double away_ms = 20;
  double lease_share = 0.01;
  /// Share of multicast_confirmed; some have a deadline that a stopped service misses.
  double confirmed_share = 0.3;
  std::chrono::microseconds slow{0};  ///< sleeps that long in about every hundredth callback
  bool crowd = false;                 ///< groups also have made-up members
  plant spoil = plant::nothing;
};

class participant {
 public:
  using complaint = std::function<void(const char* what, const std::string& text)>;
  participant(engine& loop, participant_options options, std::uint64_t seed, complaint say);
  ~participant();
  participant(const participant&) = delete;
  participant& operator=(const participant&) = delete;

  // Member's thread only.
  result<void> open();
  /// Does what is due: multicasts, leaves, joins again, releases leases.
  void tick(steady::time_point now);
  /// From now on the handle stays, its callbacks do not sleep, and it expects `members` members.
  void finish(std::size_t members);
  /// True once all members are present and were heard since finish(), and own messages were delivered.
  bool finished();
  void stop_sending();
  bool idle();  ///< nothing is in flight
  /// After the engine's end: checks that every confirmation was called.
  void expect_all_told();
  /// Leaves as soon as the handle is in its group; repeats until it works.
  void leave();
  void close();
  bool left_or_away();
  bool closed();

  /// True if nothing was delivered for `limit`, although something was due.
  bool hangs(steady::time_point now, steady::duration limit);
  void excuse(steady::time_point now);
  bool is_joined();
  std::string describe();
  struct counts {
    std::uint64_t sent = 0, delivered = 0, views = 0, losses = 0, leases = 0, refused = 0, confirmed = 0,
                  unsent = 0, unknown = 0;
  };
  counts so_far();

 private:
  struct kept {
    lease message;
    std::uint64_t sum;
    steady::time_point until;
  };

  callbacks calls();
  void on_message(const message& m);
  void on_view(const view& v);
  void on_state(handle& self, const state_change& s);
  void on_restored();
  void on_outcome(const checker::message_id& id, const multicast_outcome& outcome);
  void drive();
  void send_due(steady::time_point now);
  bool send_one();
  std::size_t next_size();
  void end_life();
  void move_on(steady::time_point now);
  void check_leases(steady::time_point now, bool all);
  void progress() { progress_ = steady::now(); }
  double chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }
  steady::time_point about(double ms);

  engine& loop_;
  const participant_options options_;
  const complaint say_;
  std::mutex lock_;  // guards everything below
  std::mt19937_64 random_;
  history_file history_;
  handle self_;
  checker::address address_;
  handle_state state_ = handle_state::connecting;
  bool opened_ = false, joined_ = false, leaving_ = false, sending_ = true, blocked_ = false,
       closing_ = false;
  bool quick_ = false, leaves_for_good_ = false;
  std::uint64_t life_;
  std::uint64_t next_ = 0, back_ = 0, empties_in_flight_ = 0, recorded_ = 0;
  double due_ = 0;
  steady::time_point last_due_, progress_, leave_at_, join_at_, state_since_;
  std::vector<checker::address> members_;
  std::set<checker::address> heard_;
  std::optional<std::size_t> expected_;
  std::uint64_t back_since_finish_ = 0;
  std::vector<kept> leases_;
  std::uint64_t last_number_ = 0;
  std::map<checker::address, std::uint64_t> last_number_of_;
  std::map<checker::message_id, std::uint64_t> numbers_of_own_;  // own messages that may still be confirmed
  std::set<checker::message_id> unconfirmed_;                    // confirmations not yet called
  counts counts_;
};

}  // namespace cpgring::campaign
