// What the environment says about this library: how long calls may wait, whose service is trusted, and which quirks of stock libcpg a
// program relies on.
//
// Read once, at the first use; docs/libcpg.md lists the names.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace cpgring::compat {

struct settings {
  bool valid = true;                          // else cpg_initialize fails with CS_ERR_INVALID_PARAM
  std::chrono::milliseconds deadline{30000};  // of each call that waits for the service; 0: as long as it takes
  std::optional<std::uint32_t> service_uid;   // who may run the service beside uid 0 and our own
  bool sends_unjoined = false;                // a multicast without a group is sent, and lost in the service
  bool leaves_by_name = false;                // cpg_leave goes out for the name given
  bool unbounded_lists = false;               // cpg_membership_get fills in more than CPG_MEMBERS_MAX members
};

const settings& settings_of_process();

}  // namespace cpgring::compat
