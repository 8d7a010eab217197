#include "cpg/view_builder.hpp"

#include <algorithm>
#include <tuple>

namespace cpgring::cpg {
namespace {

bool by_address(const member& a, const member& b) noexcept { return std::tie(a.node_id, a.pid) < std::tie(b.node_id, b.pid); }

}  // namespace

const member* view_builder::find(const member& who) const noexcept {
  const auto at = std::lower_bound(members_.begin(), members_.end(), who, by_address);
  return at != members_.end() && at->same_address(who) ? &*at : nullptr;
}

const view& view_builder::apply(const configuration& change, std::string_view group) {
  joined_.clear();
  left_.clear();
  next_.clear();
  for (std::uint32_t i = 0; i < change.left; ++i) {
    member m = change.left_at(i);
    if (const member* known = find(m)) {
      m.incarnation = known->incarnation;
    }
    left_.push_back(m);
  }
  for (std::uint32_t i = 0; i < change.joined; ++i) {
    member m = change.joined_at(i);
    m.incarnation = ++incarnations_;
    joined_.push_back(m);
  }
  for (std::uint32_t i = 0; i < change.members; ++i) {
    member m = change.member_at(i);
    m.why = reason::none;
    const auto fresh = std::find_if(joined_.begin(), joined_.end(), [&m](const member& j) { return j.same_address(m); });
    if (fresh != joined_.end()) {
      m.incarnation = fresh->incarnation;
    } else if (const member* known = find(m)) {
      m.incarnation = known->incarnation;
    } else {
      m.incarnation = ++incarnations_;  // there before us: our own join's view lists it
    }
    next_.push_back(m);
  }
  std::sort(next_.begin(), next_.end(), by_address);
  members_.swap(next_);
  view_ = {view_.number + 1, view_cause::membership, group, view_.ring, members_, joined_, left_, {}};
  return view_;
}

const view& view_builder::apply(const totem_configuration& change, std::string_view group) {
  nodes_.clear();
  for (std::uint32_t i = 0; i < change.count; ++i) {
    nodes_.push_back(change.node_at(i));
  }
  view_ = {view_.number + 1, view_cause::ring, group, change.ring, members_, {}, {}, nodes_};
  return view_;
}

}  // namespace cpgring::cpg
