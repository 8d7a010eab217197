// What the processes of one carrier say to each other about channels. A carrier is a CPG handle that carries
// many channels; each record travels in the carrier's total order.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <cpgring/view.hpp>

namespace cpgring::channel {

/// The number by which one process names a channel during its stay in the carrier's group.
using alias = std::uint16_t;
inline constexpr alias alias_max = 0xFEFF;
inline constexpr std::uint32_t aliases_max = std::uint32_t{alias_max} + 1;

/// Names a HELLO. `stay` is a random number that a process draws for each stay in the carrier's group.
struct hello_id {
  member_address from;
  std::uint64_t stay = 0;
  std::uint32_t number = 0;
  friend auto operator<=>(const hello_id&, const hello_id&) = default;
};

/// Marks a position: a STATE with the same id holds the table as it is where the HELLO is delivered.
struct hello_record {
  hello_id id;
  friend bool operator==(const hello_record&, const hello_record&) = default;
};

/// What one process had announced at that position.
struct process_state {
  /// The aliases first, first + 1 ... name the channels names[name], names[name + 1] ... of the STATE.
  /// Programs that join the same channels in the same order need one run each.
  struct run {
    alias first = 0;
    std::uint32_t name = 0;
    std::uint32_t length = 1;
    friend bool operator==(const run&, const run&) = default;
  };
  member_address at;
  std::uint64_t stay = 0;
  std::uint64_t operations = 0;  // the number of the last one
  std::vector<run> runs;
  friend bool operator==(const process_state&, const process_state&) = default;
};

/// The table of a component, sent when its sender delivers its own HELLO.
struct state_record {
  hello_id id;
  std::vector<std::string> names;
  std::vector<process_state> processes;
  friend bool operator==(const state_record&, const state_record&) = default;
};

/// The sender joins channels. The entries are the operations first_operation, first_operation + 1 ...
struct join_record {
  struct entry {
    alias as = 0;
    std::string name;
    friend bool operator==(const entry&, const entry&) = default;
  };
  std::uint64_t first_operation = 0;
  std::vector<entry> entries;
  friend bool operator==(const join_record&, const join_record&) = default;
};

/// The sender leaves channels. Operations are numbered as in join_record.
struct leave_record {
  struct entry {
    alias as = 0;
    reason why = reason::leave;
    friend bool operator==(const entry&, const entry&) = default;
  };
  std::uint64_t first_operation = 0;
  std::vector<entry> entries;
  friend bool operator==(const leave_record&, const leave_record&) = default;
};

/// A piece of a message that is larger than a pack takes.
struct chunk_record {
  enum class part : std::uint16_t { first, middle, last };
  alias as = 0;
  part which = part::first;
  std::uint32_t transfer = 0;
  std::uint64_t total = 0;   // bytes of the whole message
  std::uint64_t offset = 0;  // of this piece in it
  friend bool operator==(const chunk_record&, const chunk_record&) = default;
};

}  // namespace cpgring::channel
