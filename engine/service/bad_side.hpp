// What the service keeps while it commits faults on purpose; gone without them. The service's thread.
#pragma once

#include "base/clock.hpp"
#include "service/crowd.hpp"
#include "service/injector.hpp"
#include "service/late_doorbell.hpp"

namespace cpgring::service {

struct bad_side {
  bad_side(const service_faults& faults, std::uint32_t own_node) : choices(faults), crowd(own_node, faults.crowd_members) {}

  injector choices;
  crowds crowd;
  full_socket full;
  base::time_point storm_until{};
};

}  // namespace cpgring::service
