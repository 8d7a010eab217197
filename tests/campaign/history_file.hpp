// The history of one handle, on its way into a file: each event with a write of its own, so that nothing but the last is missing when the
// process is killed. Events of messages may come in any order of their numbers, as callbacks on several workers do, and are written in the
// order of these; at a fence nothing may be missing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/owned.hpp"
#include "checker/history.hpp"

namespace cpgring::campaign {

/// What a member does to its own history, to see that the campaign finds it.
enum class plant { nothing, drop, duplicate, swap };

/// Not thread-safe.
class history_file {
 public:
  /// Throws std::system_error.
  history_file(const std::string& path, plant spoil);

  /// Once, ahead of all events.
  void begin(const checker::address& self);
  [[nodiscard]] bool begun() const noexcept { return begun_; }

  void write(const checker::event& one);
  /// The `number`th delivered on this connection, from 1 on. Nothing: it is counted, and not written. `known`: that is written behind it.
  /// False: that number was there before.
  bool message(std::uint64_t number, const std::optional<checker::message_id>& id, bool known);
  /// False if messages up to the latest are missing.
  bool fence();
  /// The numbers begin again. What came ahead of one that will not come any more is forgotten.
  void restart();

 private:
  void put(const checker::message_id& id);

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
