// Writes the history of one handle to a file. Each event is one write(), so a killed process loses at most
// its last event. Messages may be passed in any order of their numbers, because callbacks run on several
// workers, and are written in the order of the numbers. At a fence none may be missing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/owned.hpp"
#include "checker/history.hpp"

namespace cpgring::campaign {

/// How a member corrupts its own history, to test that the judge finds it.
enum class plant { nothing, drop, duplicate, swap };

/// Not thread-safe.
class history_file {
 public:
  /// Throws std::system_error.
  history_file(const std::string& path, plant spoil);

  /// Called once, before all events.
  void begin(const checker::address& self);
  [[nodiscard]] bool begun() const noexcept { return begun_; }

  void write(const checker::event& one);
  /// The `number`th message on this connection, counted from 1. No `id`: counted but not written. `known`:
  /// also writes that event. Returns false if the number was used before.
  bool message(std::uint64_t number, const std::optional<checker::message_id>& id, bool known);
  /// False if messages up to the latest are missing.
  bool fence();
  /// Restarts the numbers at 1, and drops messages that wait for a missing number.
  void restart();

 private:
  void put(const checker::message_id& id, bool own);

  base::unique_fd file_;
  bool begun_ = false;
  std::uint64_t next_ = 1;
  struct numbered {
    std::optional<checker::message_id> id;
    bool known;
  };
  std::map<std::uint64_t, numbered> early_;
  plant spoil_;
  std::uint64_t messages_ = 0;
  std::optional<checker::message_id> held_back_;
};

}  // namespace cpgring::campaign
