#include "cpg/fragment_assembler.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include <fmt/format.h>

namespace cpgring::cpg {

fragment_assembler::aborted fragment_assembler::give_up(table::iterator which, error cause) {
  const auto& [sender, a] = *which;
  aborted result{static_cast<std::uint32_t>(sender >> 32), static_cast<std::uint32_t>(sender), a.bytes.size(),
                 a.announced, std::move(cause)};
  held_ -= a.bytes.capacity();
  open_.erase(which);
  return result;
}

/// Drops the message that has waited longest for a fragment. False: no sender is stalled.
bool fragment_assembler::drop_stalled(const error& cause, outcome& result) {
  const auto stillest = std::min_element(
      open_.begin(), open_.end(), [](const auto& a, const auto& b) { return a.second.fed < b.second.fed; });
  if (stillest == open_.end() || pushed_ - stillest->second.fed < stalled_after) {
    return false;
  }
  result.given_up.push_back(give_up(stillest, cause));
  return true;
}

/// Starts a message with its first fragment. False: the message is refused.
bool fragment_assembler::begin(const fragment& piece, outcome& result) {
  const std::uint64_t sender = key(piece.node, piece.pid);
  if (const auto before = open_.find(sender); before != open_.end()) {
    result.given_up.push_back(
        give_up(before, error(errc::interrupt, "the sender started the message again")));
  }
  const auto refuse = [&](error cause) {
    result.given_up.push_back(aborted{piece.node, piece.pid, piece.size, piece.total, std::move(cause)});
    return false;
  };
  if (piece.total > message_max_) {
    return refuse(
        error(errc::too_big,
              fmt::format(
                  "a message of {} bytes is above large_message_max ({}); raise it to receive such messages",
                  piece.total, message_max_)));
  }
  if (open_.size() >= open_max) {
    const error cause(errc::no_memory,
                      fmt::format("{} large messages are incomplete, more are not accepted", open_max));
    if (!drop_stalled(cause, result)) {
      return refuse(cause);
    }
  }
  open_[sender].announced = piece.total;
  return true;
}

/// Makes room for `bytes` more in `a`; together at most the announced size. False: there is no room.
bool fragment_assembler::make_room(assembly& a, std::size_t bytes, outcome& result) {
  const std::size_t wanted = a.bytes.size() + bytes, had = a.bytes.capacity();
  if (wanted <= had) {
    return true;
  }
  const std::size_t capacity = std::max(wanted, std::min<std::size_t>(2 * had, a.announced));
  const auto over = [&] { return held_ - had + capacity > bytes_max_; };
  while (over()) {
    const error cause(
        errc::no_memory,
        fmt::format("incomplete messages of all senders hold {} bytes, the limit is {}", held_, bytes_max_));
    if (!drop_stalled(cause, result)) {
      return false;
    }
  }
  try {
    a.bytes.reserve(capacity);
  } catch (const std::bad_alloc&) {
    return false;
  }
  held_ += a.bytes.capacity() - had;
  return true;
}

fragment_assembler::outcome fragment_assembler::push(const fragment& piece) {
  outcome result;
  ++pushed_;
  if (piece.type == wire::fragment_type::first && !begin(piece, result)) {
    return result;
  }
  const auto found = open_.find(key(piece.node, piece.pid));
  if (found == open_.end()) {
    return result;  // no `first` has arrived, or it was dropped: ignored, as in stock libcpg
  }
  assembly& a = found->second;
  a.fed = pushed_;
  if (a.bytes.size() + piece.size > a.announced) {
    result.given_up.push_back(give_up(
        found,
        error(errc::malformed, fmt::format("fragments hold more than the {} bytes announced", a.announced))));
    return result;
  }
  if (!make_room(a, piece.size, result)) {
    result.given_up.push_back(
        give_up(found, error(errc::no_memory, fmt::format("no room for its next {} bytes beside the {} bytes "
                                                          "of incomplete messages; the limit is {}",
                                                          piece.size, held_, bytes_max_))));
    return result;
  }
  a.bytes.insert(a.bytes.end(), piece.data, piece.data + piece.size);
  if (piece.type == wire::fragment_type::last) {
    if (a.bytes.size() != a.announced) {
      result.given_up.push_back(
          give_up(found, error(errc::malformed, "the last fragment came before all announced bytes")));
      return result;
    }
    held_ -= a.bytes.capacity();
    result.message = std::move(a.bytes);
    open_.erase(found);
  }
  return result;
}

std::optional<fragment_assembler::aborted> fragment_assembler::left(std::uint32_t node, std::uint32_t pid) {
  const auto found = open_.find(key(node, pid));
  if (found == open_.end()) {
    return std::nullopt;
  }
  return give_up(found, error(errc::interrupt, "the sender left before the message was complete"));
}

}  // namespace cpgring::cpg
