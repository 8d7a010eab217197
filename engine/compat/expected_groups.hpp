// The groups that a handle has asked to join and whose first view has not been handed out. Events of any
// other group are rejected.
//
// There can be more than one if a service lets a handle join again after it has left, and the program
// dispatches late. Any thread.
#pragma once

#include <corosync/cpg.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <string_view>

namespace cpgring::compat {

inline std::string_view text_of(const cpg_name& name) noexcept { return {name.value, name.length}; }

class expected_groups {
 public:
  void add(const cpg_name& group) {
    const std::lock_guard lock(lock_);
    groups_.push_back(group);
  }
  /// The service has refused the group that was added last.
  void drop_last() {
    const std::lock_guard lock(lock_);
    if (!groups_.empty()) {
      groups_.pop_back();
    }
  }
  /// A view of `group` has arrived: removes it, and all groups that were added before it. False: the handle
  /// did not ask for it.
  bool take(std::string_view group) {
    const std::lock_guard lock(lock_);
    const auto found = std::find_if(groups_.begin(), groups_.end(),
                                    [group](const cpg_name& one) { return text_of(one) == group; });
    if (found == groups_.end()) {
      return false;
    }
    groups_.erase(groups_.begin(), found + 1);
    return true;
  }

 private:
  std::mutex lock_;
  std::deque<cpg_name> groups_;
};

}  // namespace cpgring::compat
