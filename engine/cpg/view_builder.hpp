// Makes numbered views out of configuration and ring events.
//
// One thread. Invariants: I1 numbers rise by one. I2 members are sorted by node id and pid, whatever order the service used.
// I3 a member keeps its incarnation exactly as long as no event names it in `joined` again and each event lists it. I4 the joined and left
// of the views that were shown lead from each one's members to the next one's, whatever was merged.
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
  /// The ring changed while there was nobody to show it to.
  void note_ring(const totem_configuration& change);
  /// The current view has not been shown: the next change is merged into it.
  void hold() noexcept { held_ = true; }
  /// It is being shown after all.
  void show() noexcept { held_ = false; }
  [[nodiscard]] const view& current() const noexcept { return view_; }

 private:
  static const member* find(const std::vector<member>& sorted, const member& who) noexcept;
  bool begin(view_cause cause, std::string_view group);
  const view& filled() noexcept;
  void take_nodes(const totem_configuration& change);
  [[nodiscard]] bool in_ring(std::uint32_t node) const noexcept;

  std::vector<member> members_, next_, joined_, left_;
  std::vector<member> sorted_, gone_;  // within apply(): sorted by address, so that a view of n members costs n log n
  std::vector<std::uint32_t> nodes_;   // in the ring, sorted; empty: not known
  std::uint64_t incarnations_ = 0;
  bool held_ = false;
  view view_;
};

}  // namespace cpgring::cpg
