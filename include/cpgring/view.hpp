// Views: the membership of a group as all its members see it, in the same order between the same messages.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <compare>
#include <cstdint>
#include <span>
#include <string_view>

namespace cpgring {

/// Why a member came or went; the values are those of cpg_reason_t in corosync/cpg.h.
enum class reason : std::uint32_t {
  none = 0,          ///< in view::members: no change
  join = 1,          ///< cpg_join
  leave = 2,         ///< cpg_leave
  node_down = 3,     ///< its node went away
  node_up = 4,       ///< its node came, or came back; also after a partition heals
  process_down = 5,  ///< its process died, or closed without leaving
};
std::string_view to_string(reason why) noexcept;

/// The address of a process in a group, as CPG names it. A process that dies and is restarted within
/// milliseconds may have the same address.
struct member_address {
  std::uint32_t node_id = 0;
  std::uint32_t pid = 0;
  friend auto operator<=>(const member_address&, const member_address&) = default;
};

/// One member of a group.
struct member {
  std::uint32_t node_id = 0;
  std::uint32_t pid = 0;
  /// Number of this stay in the group, assigned by this handle: the same address gets a new number when it
  /// joins again. Unique within one connection of the handle.
  std::uint64_t incarnation = 0;
  reason why = reason::none;
  /// False if the member's node is not in the totem ring: its membership is about to end, or (in view::left)
  /// the member went with its node. True while no ring is known.
  bool node_in_ring = true;

  [[nodiscard]] member_address address() const noexcept { return {node_id, pid}; }
  /// Compares node_id and pid only.
  [[nodiscard]] bool same_address(const member& other) const noexcept {
    return node_id == other.node_id && pid == other.pid;
  }
};

/// Identifies the totem ring of a view. Changes whenever a node comes or goes.
struct ring_id {
  std::uint32_t node_id = 0;   ///< the ring's representative
  std::uint64_t sequence = 0;  ///< 0: not yet known
  friend bool operator==(const ring_id&, const ring_id&) = default;
};

/// The kind of change that a view shows.
enum class view_cause {
  membership,  ///< members joined or left: see `joined` and `left`
  ring,        ///< nodes came or went; `members` is unchanged (changes of members come as views of their own)
};

/// One numbered state of a group. Spans and texts are valid during the callback only.
struct view {
  std::uint64_t number = 0;  ///< 1, 2, 3 ... over the views of the handle's present connection
  view_cause cause = view_cause::membership;
  std::string_view group;  ///< may contain NUL bytes; not NUL-terminated
  ring_id ring;
  std::span<const member> members;  ///< all members after this change, sorted by node_id and pid; any number
  std::span<const member> joined;
  std::span<const member> left;
  /// All node ids in the ring, sorted. Empty: the ring is not known yet, and a view of cause `ring` follows.
  std::span<const std::uint32_t> ring_nodes;
  /// Number of changes of the service in this view: 1, or more with handle_options::coalesce_views. `joined`
  /// and `left` are then the sum: a member that came and went in between is in neither, one that went and
  /// came back is in both.
  std::uint32_t changes = 1;
};

}  // namespace cpgring

#endif
