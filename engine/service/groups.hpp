// The groups and their members. Bookkeeping only, without libqb. Groups are found by hash, so the cost of a
// message depends only on the size of its group.
//
// One thread. Invariants: I1 a member is in at most one group. I2 a group exists while it has members. I3
// members are sorted by pid, then by arrival.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cpgring::service {

template <class Member>  // has std::uint32_t pid
class groups {
 public:
  struct group {
    std::string name;
    std::vector<Member*> members;
  };

  [[nodiscard]] group* find(std::string_view name) {
    const auto at = groups_.find(std::string(name));
    return at == groups_.end() ? nullptr : &at->second;
  }

  [[nodiscard]] bool has(std::string_view name, std::uint32_t pid) {
    const group* g = find(name);
    return g != nullptr && std::any_of(g->members.begin(), g->members.end(),
                                       [pid](const Member* m) { return m->pid == pid; });
  }

  group& add(std::string_view name, Member& who) {
    group& g = groups_[std::string(name)];
    if (g.members.empty()) {
      g.name = name;
    }
    const auto at = std::upper_bound(g.members.begin(), g.members.end(), who.pid,
                                     [](std::uint32_t pid, const Member* m) { return pid < m->pid; });
    g.members.insert(at, &who);
    return g;
  }

  /// Removes `who` from its group. Call forget_if_empty() once the group's last view has been sent.
  group& remove(group& from, Member& who) {
    std::erase(from.members, &who);
    return from;
  }
  void forget_if_empty(group& which) {
    if (which.members.empty()) {
      groups_.erase(std::string(which.name));
    }
  }

  template <class Visit>
  void each(Visit&& visit) const {
    for (const auto& [name, g] : groups_) {
      visit(g);
    }
  }
  [[nodiscard]] std::size_t size() const noexcept { return groups_.size(); }

 private:
  // References to values stay valid: members keep pointers to their group.
  std::unordered_map<std::string, group> groups_;
};

}  // namespace cpgring::service
