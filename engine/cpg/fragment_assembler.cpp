#include "cpg/fragment_assembler.hpp"

#include <utility>

#include <fmt/format.h>

namespace cpgring::cpg {

std::optional<fragment_assembler::aborted> fragment_assembler::give_up(std::uint64_t sender, error cause) {
  const auto found = open_.find(sender);
  if (found == open_.end()) {
    return std::nullopt;
  }
  const std::uint64_t received = found->second.bytes.size();
  aborted result{static_cast<std::uint32_t>(sender >> 32), static_cast<std::uint32_t>(sender), received, found->second.announced,
                 std::move(cause)};
  held_ -= found->second.bytes.size();
  open_.erase(found);
  return result;
}

fragment_assembler::outcome fragment_assembler::push(const fragment& piece) {
  outcome result;
  const std::uint64_t sender = key(piece.node, piece.pid);
  if (piece.type == wire::fragment_type::first) {
    result.given_up = give_up(sender, error(errc::interrupt, "the sender started the message again"));
    if (piece.total > message_max_) {
      result.given_up = aborted{
          piece.node, piece.pid, piece.size, piece.total,
          error(errc::too_big, fmt::format("a message of {} bytes is above large_message_max ({}); raise it to receive such messages",
                                           piece.total, message_max_))};
      return result;
    }
    open_[sender].announced = piece.total;
  }
  const auto found = open_.find(sender);
  if (found == open_.end()) {
    return result;  // joined in the middle of it, or given up before: the rest is ignored, as stock libcpg does
  }
  assembly& a = found->second;
  if (a.bytes.size() + piece.size > a.announced) {
    result.given_up = give_up(sender, error(errc::malformed, fmt::format("fragments hold more than the {} bytes announced", a.announced)));
    return result;
  }
  if (held_ + piece.size > 2 * message_max_) {
    result.given_up = give_up(
        sender, error(errc::no_memory, fmt::format("unfinished messages of all senders hold {} bytes, twice large_message_max", held_)));
    return result;
  }
  a.bytes.insert(a.bytes.end(), piece.data, piece.data + piece.size);
  held_ += piece.size;
  if (piece.type == wire::fragment_type::last) {
    if (a.bytes.size() != a.announced) {
      result.given_up = give_up(sender, error(errc::malformed, "the last fragment came before all announced bytes"));
      return result;
    }
    held_ -= a.bytes.size();
    result.message = std::move(a.bytes);
    open_.erase(found);
  }
  return result;
}

std::optional<fragment_assembler::aborted> fragment_assembler::left(std::uint32_t node, std::uint32_t pid) {
  return give_up(key(node, pid), error(errc::interrupt, "the sender left before the message was complete"));
}

}  // namespace cpgring::cpg
