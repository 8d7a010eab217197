#include "cpg/view_builder.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace cpgring::cpg {
namespace {

bool by_address(const member& a, const member& b) noexcept {
  return std::tie(a.node_id, a.pid) < std::tie(b.node_id, b.pid);
}

}  // namespace

const member* view_builder::find(const std::vector<member>& sorted, const member& who) noexcept {
  const auto at = std::lower_bound(sorted.begin(), sorted.end(), who, by_address);
  return at != sorted.end() && at->same_address(who) ? &*at : nullptr;
}

/// Starts a view. True: the change is merged into the view that was held back.
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
  joined_.clear();
  left_.clear();
  return false;
}

const view& view_builder::filled() noexcept {
  view_.members = members_;
  view_.joined = joined_;
  view_.left = left_;
  view_.ring_nodes = nodes_;
  return view_;
}

bool view_builder::in_ring(std::uint32_t node) const noexcept {
  return nodes_.empty() || std::binary_search(nodes_.begin(), nodes_.end(), node);
}

const view& view_builder::apply(const configuration& change, std::string_view group) {
  const bool merged = begin(view_cause::membership, group);
  next_.clear();
  const auto sort_into = [](std::vector<member>& sorted, const std::vector<member>& list) {
    sorted.assign(list.begin(), list.end());
    std::sort(sorted.begin(), sorted.end(), by_address);
  };
  // A member that joined in a change that is merged with this one was never shown; nor is its departure.
  sort_into(sorted_, joined_);
  gone_.clear();
  for (std::uint32_t i = 0; i < change.left; ++i) {
    member m = change.left_at(i);
    if (find(sorted_, m) != nullptr) {
      gone_.push_back(m);
      continue;
    }
    if (const member* known = find(members_, m)) {
      m.incarnation = known->incarnation;
    }
    m.node_in_ring = in_ring(m.node_id);
    left_.push_back(m);
  }
  const std::size_t came_before = joined_.size();
  for (std::uint32_t i = 0; i < change.joined; ++i) {
    member m = change.joined_at(i);
    m.incarnation = ++incarnations_;
    m.node_in_ring = in_ring(m.node_id);
    joined_.push_back(m);
    if (merged) {
      gone_.push_back(m);
    }
  }
  if (!gone_.empty() && came_before != 0) {
    std::sort(gone_.begin(), gone_.end(), by_address);
    const auto old_end = joined_.begin() + static_cast<std::ptrdiff_t>(came_before);
    joined_.erase(std::remove_if(joined_.begin(), old_end,
                                 [this](const member& j) { return find(gone_, j) != nullptr; }),
                  old_end);
  }
  sort_into(sorted_, joined_);
  for (std::uint32_t i = 0; i < change.members; ++i) {
    member m = change.member_at(i);
    m.why = reason::none;
    m.node_in_ring = in_ring(m.node_id);
    if (const member* fresh = find(sorted_, m)) {
      m.incarnation = fresh->incarnation;
    } else if (const member* known = find(members_, m)) {
      m.incarnation = known->incarnation;
    } else {
      m.incarnation = ++incarnations_;  // older than this handle: the view of the own join lists it
    }
    next_.push_back(m);
  }
  std::sort(next_.begin(), next_.end(), by_address);
  members_.swap(next_);
  return filled();
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
  return filled();
}

}  // namespace cpgring::cpg
