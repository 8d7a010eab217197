// Builds numbered views from configuration and ring events.
//
// One thread. Invariants:
// I1 View numbers rise by one.
// I2 Members are sorted by node id and pid, whatever order the service used.
// I3 A member keeps its incarnation exactly as long as each event lists it and none names it in `joined`.
// I4 `joined` and `left` of each shown view lead from the members of the view shown before to its own
// members, also if changes were merged.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <cpgring/view.hpp>

#include "cpg/codec.hpp"

namespace cpgring::cpg {

class view_builder {
 public:
  /// The view stays valid until the next call.
  const view& apply(const configuration& change, std::string_view group);
  const view& apply(const totem_configuration& change, std::string_view group);
  /// Takes a change of the ring that is not shown.
  void note_ring(const totem_configuration& change);
  /// The current view is not shown yet: the next change is merged into it.
  void hold() noexcept { held_ = true; }
  /// The current view is shown: the next change makes a new one.
  void show() noexcept { held_ = false; }
  [[nodiscard]] const view& current() const noexcept { return view_; }

 private:
  static const member* find(const std::vector<member>& sorted, const member& who) noexcept;
  bool begin(view_cause cause, std::string_view group);
  const view& filled() noexcept;
  void take_nodes(const totem_configuration& change);
  [[nodiscard]] bool in_ring(std::uint32_t node) const noexcept;

  std::vector<member> members_, next_, joined_, left_;
  // sorted_, gone_: within apply(), sorted by address, so that a view of n members costs n log n.
  std::vector<member> sorted_, gone_;
  std::vector<std::uint32_t> nodes_;  // of the ring, sorted; empty: not known
  std::uint64_t incarnations_ = 0;
  bool held_ = false;
  view view_;
};

}  // namespace cpgring::cpg
