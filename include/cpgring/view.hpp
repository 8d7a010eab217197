// Views: the membership of a group as all its members see it, in the same order between the same messages.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace cpgring {

/// Why a member came or went (the numbers are cpg_reason_t of corosync/cpg.h).
enum class reason : std::uint32_t {
  none = 0,          ///< in view::members: simply there
  join = 1,          ///< cpg_join
  leave = 2,         ///< cpg_leave
  node_down = 3,     ///< its node went away
  node_up = 4,       ///< its node came (back); also after a partition heals
  process_down = 5,  ///< it died, or closed without leaving
};
std::string_view to_string(reason why) noexcept;

/// One member. node_id and pid are what CPG knows; a process that dies and comes back within milliseconds may have the same two.
struct member {
  std::uint32_t node_id = 0;
  std::uint32_t pid = 0;
  /// Our own number for this stay in the group: the same node_id and pid joined again gets a new one. Local to this handle.
  std::uint64_t incarnation = 0;
  reason why = reason::none;
  /// False: its node is not in the totem ring, so its membership is about to end, or (in view::left) it went with its node. True as long as
  /// no ring is known.
  bool node_in_ring = true;

  /// Same process as CPG names it; incarnation and reason are not compared.
  [[nodiscard]] bool same_address(const member& other) const noexcept { return node_id == other.node_id && pid == other.pid; }
};

/// The totem ring that a view belongs to; changes with each node that comes or goes.
struct ring_id {
  std::uint32_t node_id = 0;   ///< the ring's representative
  std::uint64_t sequence = 0;  ///< 0: not yet known
  friend bool operator==(const ring_id&, const ring_id&) = default;
};

/// What brought a view about.
enum class view_cause {
  membership,  ///< members joined or left: `joined` and `left` say who
  ring,        ///< the nodes of the cluster changed; members are as before (theirs come as membership views of their own)
};

/// One numbered state of a group. All spans and texts are valid during the callback only.
struct view {
  std::uint64_t number = 0;  ///< 1, 2, 3 ... for this handle
  view_cause cause = view_cause::membership;
  std::string_view group;  ///< may contain NUL bytes; not NUL-terminated
  ring_id ring;
  std::span<const member> members;  ///< everybody after this change, sorted by node_id and pid; any number
  std::span<const member> joined;
  std::span<const member> left;
  /// The node ids in the ring, all of them, sorted; in each view from the first on. Empty: the ring is not known yet, and a view of cause
  /// ring follows.
  std::span<const std::uint32_t> ring_nodes;
  /// How many changes of the service this view tells of: 1, or with handle_options::coalesce_views as many as came one after another. Then
  /// `joined` and `left` are the sum: who came and went again in between is in neither, who went and came back is in both.
  std::uint32_t changes = 1;
};

}  // namespace cpgring
