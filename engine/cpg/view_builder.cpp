#include "cpg/view_builder.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace cpgring::cpg {
namespace {

bool by_address(const member& a, const member& b) noexcept { return std::tie(a.node_id, a.pid) < std::tie(b.node_id, b.pid); }

}  // namespace

const member* view_builder::find(const member& who) const noexcept {
  const auto at = std::lower_bound(members_.begin(), members_.end(), who, by_address);
  return at != members_.end() && at->same_address(who) ? &*at : nullptr;
}

/// True: what comes is merged into the view that was held.
bool view_builder::begin(view_cause cause, std::string_view group) {
  view_.group = group;
  if (std::exchange(held_, false)) {
    ++view_.changes;
    if (cause == view_cause::membership) {
      view_.cause = cause;
    }
    return true;
  }
  ++view_.number;
  view_.cause = cause;
  view_.changes = 1;
  view_.ring_nodes = {};
  joined_.clear();
  left_.clear();
  return false;
}

bool view_builder::in_ring(std::uint32_t node) const noexcept {
  return nodes_.empty() || std::binary_search(nodes_.begin(), nodes_.end(), node);
}

const view& view_builder::apply(const configuration& change, std::string_view group) {
  const bool merged = begin(view_cause::membership, group);
  next_.clear();
  for (std::uint32_t i = 0; i < change.left; ++i) {
    member m = change.left_at(i);
    // Who came in a change that is merged with this one was never shown: neither is that it goes.
    if (std::erase_if(joined_, [&m](const member& j) { return j.same_address(m); }) != 0) {
      continue;
    }
    if (const member* known = find(m)) {
      m.incarnation = known->incarnation;
    }
    m.node_in_ring = in_ring(m.node_id);
    left_.push_back(m);
  }
  for (std::uint32_t i = 0; i < change.joined; ++i) {
    member m = change.joined_at(i);
    m.incarnation = ++incarnations_;
    m.node_in_ring = in_ring(m.node_id);
    if (merged) {
      std::erase_if(joined_, [&m](const member& j) { return j.same_address(m); });
    }
    joined_.push_back(m);
  }
  for (std::uint32_t i = 0; i < change.members; ++i) {
    member m = change.member_at(i);
    m.why = reason::none;
    m.node_in_ring = in_ring(m.node_id);
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
  view_.members = members_;
  view_.joined = joined_;
  view_.left = left_;
  return view_;
}

void view_builder::take_nodes(const totem_configuration& change) {
  nodes_.clear();
  for (std::uint32_t i = 0; i < change.count; ++i) {
    nodes_.push_back(change.node_at(i));
  }
  std::sort(nodes_.begin(), nodes_.end());
  view_.ring = change.ring;
  for (auto* list : {&members_, &joined_, &left_}) {
    for (member& m : *list) {
      m.node_in_ring = in_ring(m.node_id);
    }
  }
}

void view_builder::note_ring(const totem_configuration& change) { take_nodes(change); }

const view& view_builder::apply(const totem_configuration& change, std::string_view group) {
  begin(view_cause::ring, group);
  take_nodes(change);
  view_.members = members_;
  view_.joined = joined_;
  view_.left = left_;
  view_.ring_nodes = nodes_;
  return view_;
}

}  // namespace cpgring::cpg
