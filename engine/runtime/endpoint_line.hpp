// What outlives the connections of one supervised handle. The reactor's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <vector>

#include <cpgring/event.hpp>

#include "base/clock.hpp"
#include "runtime/endpoint.hpp"

namespace cpgring::runtime {

struct endpoint::line {
  std::minstd_rand random{std::random_device{}()};
  std::uint32_t attempts = 0;  ///< since it was last there
  base::time_point lost_at{};
  restoration back;        ///< the last
  bool was_there = false;  ///< a loss is news, and so is the end of it
  struct kept_multicast {
    std::vector<std::byte> bytes;
    bool admitted;              ///< counted against the face's queue until it is written: from another thread, or to be confirmed
    handle::confirmation done;  ///< of one that is to be confirmed
    base::time_point deadline;  ///< of that
  };
  std::deque<kept_multicast> kept;
  std::optional<base::time_point> kept_until;  ///< the earliest deadline among them, or earlier
  base::time_point revive_at{};
  std::size_t kept_bytes = 0;  ///< of those of the driving thread
};

}  // namespace cpgring::runtime
