// Settings of this library from the environment: how long calls may wait, which service is trusted, and which
// quirks of stock libcpg a program relies on.
//
// Read once, at the first use. docs/libcpg.md lists the variables.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace cpgring::compat {

struct settings {
  bool valid = true;                          // false: cpg_initialize fails with CS_ERR_INVALID_PARAM
  std::chrono::milliseconds deadline{30000};  // of each call that waits for the service; 0: none
  std::optional<std::uint32_t> service_uid;   // uid that may run the service, in addition to 0 and our own
  bool sends_unjoined = false;   // a multicast outside of a group is sent, and lost in the service
  bool leaves_by_name = false;   // cpg_leave sends the name that it is given
  bool unbounded_lists = false;  // cpg_membership_get returns more than CPG_MEMBERS_MAX members
};

const settings& settings_of_process();

}  // namespace cpgring::compat
