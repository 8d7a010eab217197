// A process of the simulated cluster: the tested table, and the messages that its user sends and receives.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "channel/table.hpp"

namespace cpgring::channel::simulator {

/// What the simulator reports: a promise was broken.
struct violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};
inline void require(bool holds, const char* what) {
  if (!holds) {
    throw violation(what);
  }
}

inline constexpr std::size_t channels = 3;
inline std::string name_of(std::size_t channel) { return std::string(1, static_cast<char>('a' + channel)); }

struct data {
  alias as;
  std::uint64_t message;
};
struct chunk {
  enum class part { first, middle, last } which;
  alias as;
  std::uint32_t transfer;
  std::uint64_t message;
};
using record = std::variant<hello_record, state_record, join_record, leave_record, data, chunk>;

/// A process during one stay.
struct identity {
  member_address at;
  std::uint64_t stay = 0;
  friend auto operator<=>(const identity&, const identity&) = default;
};

/// One event of the carrier, the same object for all who get it.
struct event {
  std::size_t position = 0;
  // A view:
  std::vector<member> members, joined, left;
  // A message:
  identity from;
  std::shared_ptr<const record> what;  // null: a view
};

using members_of_channel = std::vector<identity>;

/// What a process delivers to its user.
struct delivery {
  std::size_t channel = channels;  // none
  identity from;
  std::uint64_t message = 0;
  friend bool operator==(const delivery&, const delivery&) = default;
};

class process final : public table_listener {
 public:
  process(identity self, bool silent, const table_timing& timing)
      : self(self), silent(silent), table_(self.at, self.stay, *this, timing) {}

  // --- the user
  void join(std::size_t channel);
  void leave(std::size_t channel);
  void send(std::size_t channel);
  void send_large(std::size_t channel);

  // --- the carrier
  void handle(const event& one, base::time_point now);
  void advance(base::time_point now) {
    if (!silent) {
      table_.advance(now);
    }
  }
  [[nodiscard]] std::optional<base::time_point> due() const { return silent ? std::nullopt : table_.due(); }

  void send(const hello_record& one) override { out.push_back(std::make_shared<record>(one)); }
  void send(const state_record& one) override { out.push_back(std::make_shared<record>(one)); }
  void send(const join_record& one) override { out.push_back(std::make_shared<record>(one)); }
  void send(const leave_record& one) override { out.push_back(std::make_shared<record>(one)); }
  void changed(const light_view& now) override;
  void restart_transfer(std::uint32_t channel) override;
  void inconsistent(error why) override { throw violation(why.message()); }

  [[nodiscard]] const table& tested() const noexcept { return table_; }
  /// Messages that were sent in the present stay of the process in the channel.
  [[nodiscard]] const std::vector<std::uint64_t>& sent_in_stay(std::size_t channel) const {
    return in_stay_[channel];
  }
  [[nodiscard]] bool large_is_open(std::size_t channel) const { return large_[channel] != 0; }
  /// The result of the last event.
  delivery delivered;

  const identity self;
  const bool silent;  // a stranger: it is in the carrier's group, and knows nothing of channels
  bool stopped = false;
  bool in_carrier = false;
  std::deque<std::shared_ptr<const record>>
      out;                                      // requests that its node has not taken; null: join the group
  std::deque<std::shared_ptr<const event>> in;  // events that it has not handled
  std::array<std::shared_ptr<const members_of_channel>, channels> views;
  std::array<std::vector<delivery>, channels> got;
  std::set<std::size_t> wanted;

 private:
  [[nodiscard]] std::optional<alias> sends_as(std::size_t channel) const;
  void begin_large(std::size_t channel);
  void message(const identity& from, const record& what);

  table table_;
  std::array<std::uint32_t, channels> numbers_{};
  std::array<std::uint64_t, channels> large_{};  // the message of the open transfer; 0: none
  std::array<std::vector<std::uint64_t>, channels> in_stay_;
  std::uint64_t messages_ = 0;
};

}  // namespace cpgring::channel::simulator
