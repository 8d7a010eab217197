// Made-up members of groups on made-up nodes: which of them are present, and how they join and leave.
//
// Bookkeeping only, without libqb. One thread. Invariants: I1 each group's crowd has nodes of its own, so its
// arrival or departure changes the ring. I2 a group's crowd is sorted by node, then by pid.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <cpgring/service_interceptor.hpp>

#include "testing/injector.hpp"

namespace cpgring::testing {

class crowds {
 public:
  struct move {
    std::vector<simulated_member> joined, left;  // one view
    bool ring_changes = false;
  };

  crowds(std::uint32_t own_node, std::uint32_t members) noexcept
      : first_node_(own_node < UINT32_MAX - groups_max * nodes_max ? own_node + 1 : 1), size_(members) {}

  [[nodiscard]] const std::vector<simulated_member>& in(std::string_view group) const {
    static const std::vector<simulated_member> nobody;
    const auto at = here_.find(group);
    return at == here_.end() ? nobody : at->second.members;
  }

  /// Makes the next change of the crowd of `group`. Calls `show` once for each step, with its view; the step
  /// is already applied here. No call: nothing changed, for example because there is no room for another
  /// crowd.
  template <class Show>
  void advance(const std::string& group, draws choice, Show&& show) {
    const auto at = here_.find(group);
    if (at == here_.end()) {
      if (here_.size() < groups_max) {
        show(arrive(group));
      }
      return;
    }
    auto& members = at->second.members;
    const auto what = choice.below(3);
    if (what == 0 || members.empty()) {
      return show(depart(group));
    }
    std::vector<simulated_member> absent;
    for (std::uint32_t i = 0; i < size_; ++i) {
      const simulated_member one = nth(at->second.slot, i);
      if (!std::binary_search(members.begin(), members.end(), one, before)) {
        absent.push_back(one);
      }
    }
    for (auto steps = 1 + choice.below(4); steps > 0; --steps) {
      move m;
      if (what == 2 && !absent.empty()) {
        const auto who = absent.begin() + static_cast<std::ptrdiff_t>(choice.below(absent.size()));
        members.insert(std::upper_bound(members.begin(), members.end(), *who, before), *who);
        m.joined.push_back({who->node_id, who->pid, reason::join});
        absent.erase(who);
      } else if (what == 1 && !members.empty()) {
        const auto who = members.begin() + static_cast<std::ptrdiff_t>(choice.below(members.size()));
        m.left.push_back({who->node_id, who->pid, reason::process_down});
        members.erase(who);
      } else {
        return;
      }
      show(m);
    }
  }

  /// All nodes of this group's crowd go down.
  move depart(const std::string& group) {
    move m;
    if (auto gone = here_.extract(group)) {
      m.left = std::move(gone.mapped().members);
      for (simulated_member& one : m.left) {
        one.why = reason::node_down;
      }
      m.ring_changes = true;
    }
    return m;
  }

  [[nodiscard]] std::vector<std::string> groups() const {
    std::vector<std::string> names;
    for (const auto& [name, crowd] : here_) {
      names.push_back(name);
    }
    return names;
  }

  /// The nodes of all present crowds, sorted.
  [[nodiscard]] std::vector<std::uint32_t> nodes() const {
    std::vector<std::uint32_t> all;
    for (const auto& [name, crowd] : here_) {
      for (std::uint32_t k = 0; k < std::min(nodes_max, size_); ++k) {
        all.push_back(first_node_ + crowd.slot * nodes_max + k);
      }
    }
    std::sort(all.begin(), all.end());
    return all;
  }

 private:
  static constexpr std::uint32_t groups_max = 40, nodes_max = 8, first_pid = 100000;

  struct crowd {
    std::uint32_t slot = 0;  // number of its range of nodes_max nodes
    std::vector<simulated_member> members;
  };

  static bool before(const simulated_member& a, const simulated_member& b) noexcept {
    return a.node_id != b.node_id ? a.node_id < b.node_id : a.pid < b.pid;
  }

  [[nodiscard]] simulated_member nth(std::uint32_t slot, std::uint32_t index) const noexcept {
    return {first_node_ + slot * nodes_max + index % nodes_max, first_pid + index, reason::none};
  }

  move arrive(const std::string& group) {
    crowd made;
    while (std::any_of(here_.begin(), here_.end(),
                       [&](const auto& one) { return one.second.slot == made.slot; })) {
      ++made.slot;
    }
    for (std::uint32_t i = 0; i < size_; ++i) {
      made.members.push_back(nth(made.slot, i));
    }
    std::sort(made.members.begin(), made.members.end(), before);
    move m;
    m.joined = made.members;
    for (simulated_member& one : m.joined) {
      one.why = reason::node_up;
    }
    m.ring_changes = true;
    here_.emplace(group, std::move(made));
    return m;
  }

  const std::uint32_t first_node_;
  const std::uint32_t size_;
  std::map<std::string, crowd, std::less<>> here_;
};

}  // namespace cpgring::testing
