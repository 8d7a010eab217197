// A simulated CPG group ("carrier") of a cluster, and what must hold of the channels on it.
//
// Everything follows from the seed: nodes that part and meet again (two or three groups at once), processes
// that crash after their node took some of their requests, that start again at once under the same address,
// that stand still, and strangers that know nothing of channels. Also what corosync does at such times:
// messages delivered on one side of a partition only, messages that the other side drops because it does not
// know their node yet, and a process that is announced alone ahead of the other members of its side.
//
// What is checked knows only the events that were made here, and what processes delivered. At each position
// all processes that believe to be together have the same view of a channel and deliver the same.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "simulator/process.hpp"

namespace cpgring::channel::simulator {

struct statistics {
  std::uint64_t checks = 0, deliveries = 0, merges = 0, partitions = 0, crashes = 0, half_merged = 0,
                merged = 0, replayed = 0, states_ignored = 0, restarted = 0;
  void operator+=(const statistics& other) noexcept;
};

class world {
 public:
  explicit world(std::uint64_t seed);
  /// One history: faults, then rest, then the checks. Throws violation.
  statistics run();

 private:
  struct row {  // what one process had delivered when it had handled the event of a position
    identity who;
    std::array<std::shared_ptr<const members_of_channel>, channels> views;
    delivery delivered;
  };
  using addresses = std::set<member_address>;

  // --- choices
  std::uint32_t below(std::uint32_t limit) {
    return std::uniform_int_distribution<std::uint32_t>(0, limit - 1)(random_);
  }
  std::uint32_t between(std::uint32_t least, std::uint32_t most) { return least + below(most - least + 1); }
  double fraction() { return std::uniform_real_distribution<double>(0, 1)(random_); }
  bool chance(double of_one) { return fraction() < of_one; }
  template <class Container>
  auto any_of(const Container& all) {
    return *std::next(all.begin(), below(static_cast<std::uint32_t>(all.size())));
  }

  member_address any_address() {
    return std::next(processes_.begin(), below(static_cast<std::uint32_t>(processes_.size())))->first;
  }

  // --- the cluster. A side is a set of nodes that see each other.
  [[nodiscard]] std::uint32_t side_of(member_address at) const { return sides_.at(at.node_id); }
  void put(const event& one, const addresses& to);
  void show_view(std::uint32_t side, const addresses& joined, const addresses& left, reason why);
  std::vector<member> list(const addresses& all, reason why) const;
  void take(member_address of, const addresses* only = nullptr);
  void take_message(member_address of, const addresses& only);
  void start();
  void start_at(member_address at);
  void crash(member_address at);
  void count(const process& one);
  void part();
  void meet();
  member_address announce_one_early(const std::vector<std::uint32_t>& meeting);

  void step();
  void use(process& one);
  void handle_next(process& one);
  void come_to_rest();
  bool pass_time();
  void check_positions();
  void check_pair(const row& a, const row& b);
  void check_end();

  std::mt19937_64 random_;
  const std::uint32_t nodes_;
  const double fault_rate_;
  double leave_share_, large_share_, use_share_;  // of what users and others do
  table_timing timing_;
  base::time_point now_{std::chrono::seconds(1)};
  std::map<std::uint32_t, std::uint32_t> sides_;  // node -> side
  std::map<std::uint32_t, addresses> groups_;     // side -> members of the carrier's group there
  std::map<member_address, std::unique_ptr<process>> processes_;
  std::uint64_t stays_ = 0;
  std::uint32_t last_side_ = 0;
  std::size_t positions_ = 0;
  std::vector<std::vector<row>> rows_;  // by position
  statistics seen_;
};

}  // namespace cpgring::channel::simulator
