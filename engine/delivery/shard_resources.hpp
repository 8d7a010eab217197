// Resources that the pumps and lanes of one shard share. Reactor thread only, unless marked "any thread".
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <cpgring/log.hpp>

#include "base/clock.hpp"
#include "dispatch/worker_client.hpp"
#include "lease/copy_pool.hpp"
#include "lease/lease_factory.hpp"

namespace cpgring::delivery {

/// Warns once about a group that is too large for stock programs.
class large_group_warning {
 public:
  explicit large_group_warning(log_callback log) : log_(std::move(log)) {}
  void check(std::string_view group, std::size_t members) {
    constexpr std::size_t stock_members_max = 128;  // CPG_MEMBERS_MAX
    if (members <= stock_members_max || std::exchange(given_, true) || !log_) {
      return;
    }
    log_(log_level::warning,
         fmt::format("group '{}' has {} members: beyond {} from one node, stock corosync corrupts its memory "
                     "when that node leaves, and stock libcpg that of its callers",
                     group, members, stock_members_max));
  }

 private:
  const log_callback log_;
  bool given_ = false;
};

struct shard_resources {
  static constexpr std::size_t copies_kept_max = std::size_t{1} << 20, copy_kept_max = std::size_t{64} << 10;

  explicit shard_resources(log_callback log, base::shard_clock::source time = &base::clock::now)
      : clock(time), large_groups(std::move(log)) {}

  /// The end of a turn in which callbacks ran: the time that they took. Reads the clock once, because the
  /// next turn begins where this one ends.
  base::nanoseconds callbacks_ended() noexcept {
    const auto end = clock.read(), began = std::max(callbacks_ended_at, clock.now());
    callbacks_ended_at = end;
    return end - began;
  }

  base::shard_clock clock;
  leasing::copy_pool copies{copies_kept_max, copy_kept_max};
  leasing::callback_scratch scratch;  // for callbacks on the reactor's thread
  large_group_warning large_groups;
  std::unique_ptr<dispatch::worker_client> workers;  // null: callbacks run on the reactor's thread
  std::uint32_t reports_awaited = 0;                 // lanes whose next report wakes the reactor
  base::time_point callbacks_ended_at{};
  /// Any thread. Relaxed: it only keeps callbacks from beginning; nothing is published with it.
  std::atomic<bool> stop_requested{false};
};

}  // namespace cpgring::delivery
