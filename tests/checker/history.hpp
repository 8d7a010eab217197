// What one process of a group delivered, in its order: what the checker compares between processes. Written and read as lines of text, so
// that processes on several nodes can be compared afterwards, and people can read them.
#pragma once

#include <compare>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace cpgring::checker {

/// One life of a sender: of a handle, from a join to the loss of its connection. Chosen by it, and carried in each of its messages.
using life = std::uint64_t;

struct message_id {
  life sender = 0;
  std::uint64_t sequence = 0;  ///< 0, 1, 2 ... in that life
  friend auto operator<=>(const message_id&, const message_id&) = default;
};

struct address {
  std::uint32_t node = 0, pid = 0;
  friend auto operator<=>(const address&, const address&) = default;
};

struct event {
  enum class kind {
    message,  ///< was delivered
    view,     ///< a membership view was delivered
    ring,     ///< the nodes of the cluster changed
    gap,      ///< the connection was lost: what follows belongs to a new life, and what happened between is not known
    sent,     ///< of this process: handed to the service, which took it
    known,    ///< of this process: was told that its message has come back in total order
    unsent    ///< of this process: was told that nobody will deliver its message
  };
  kind what = kind::message;
  message_id id;                               // message, sent, known, unsent
  std::uint64_t ring = 0;                      // view: the ring it was installed in, 0 if not known; ring: the new one
  std::vector<address> members, joined, left;  // view

  friend bool operator==(const event&, const event&) = default;
};

struct history {
  std::string process;
  address self;
  std::vector<event> events;
};

void write(std::ostream& out, const event& one);
/// `process` NODE:PID first, then the events.
void write(std::ostream& out, const history& all);
/// Nothing, and what is wrong with which line in `error`, unless every line is one that write() makes. The last line may be torn: a process
/// may have been killed while it wrote.
std::optional<history> read(std::istream& in, std::string& error);

}  // namespace cpgring::checker
