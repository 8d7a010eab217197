// The history of one process of a group: its events in order, which the checker compares between processes.
// Histories are written and read as lines of text, so that processes on several nodes can be compared later
// and people can read them.
#pragma once

#include <compare>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace cpgring::checker {

/// One life of a sender: a handle from a join to the loss of its connection. The sender chooses the number
/// and puts it into each message.
using life = std::uint64_t;

struct message_id {
  life sender = 0;
  std::uint64_t sequence = 0;  ///< 0, 1, 2 ... within the life
  friend auto operator<=>(const message_id&, const message_id&) = default;
};

struct address {
  std::uint32_t node = 0, pid = 0;
  friend auto operator<=>(const address&, const address&) = default;
};

struct event {
  enum class kind {
    message,  ///< a message was delivered
    view,     ///< a membership view was delivered
    ring,     ///< the nodes of the cluster changed
    gap,      ///< the connection was lost: a new life follows, and events between are unknown
    sent,     ///< an own message was handed to the service
    known,    ///< an own message was confirmed: it is in the total order
    unsent    ///< an own message was reported as not sent: nobody delivers it
  };
  kind what = kind::message;
  message_id id;           // message, sent, known, unsent
  std::uint64_t ring = 0;  // view: the ring of its installation, 0: unknown; ring: the new ring
  std::vector<address> members, joined, left;  // view

  friend bool operator==(const event&, const event&) = default;
};

struct history {
  std::string process;
  address self;
  std::vector<event> events;
};

void write(std::ostream& out, const event& one);
/// Writes `process` NODE:PID, then the events.
void write(std::ostream& out, const history& all);
/// Reads lines that write() makes. Returns nothing, with the wrong line in `error`, if a line is invalid. The
/// last line may be incomplete: a process may have been killed while it wrote.
std::optional<history> read(std::istream& in, std::string& error);

}  // namespace cpgring::checker
