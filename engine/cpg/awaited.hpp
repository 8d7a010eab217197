// Multicasts whose sender waits for them to come back, from the call to the outcome.
//
// CPG gives messages no names that their sender could look for. But a connection's own messages are ordered as they were written, and none
// is left out: so the n-th that was written is the n-th that comes back.
// One thread, but for awaited::tell(). Invariants: I1 the list is in the order of the calls, which is that of writing and of coming back.
// I2 each outcome is decided once and told once. I3 what was written keeps its place until it has come back, whatever was decided before.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <utility>

#include <cpgring/error.hpp>
#include <cpgring/event.hpp>

#include "base/clock.hpp"

namespace cpgring::cpg {

class awaited {
 public:
  using told_function = std::function<void(const multicast_outcome&)>;

  awaited(std::size_t bytes, base::time_point deadline, told_function done) noexcept
      : bytes_(bytes), deadline_(deadline), done_(std::move(done)) {}

  /// Runs the user's function. Where the handle's callbacks run; once, after decide().
  void tell() {
    struct finally {
      std::atomic<bool>& told;
      // SYNC awaited_told: with the function's last word the list may let go of it.
      ~finally() { told.store(true, std::memory_order_release); }
    } const end{told_};
    done_(multicast_outcome{fate_, sequence_, cause_ ? &*cause_ : nullptr});
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] base::time_point deadline() const noexcept { return deadline_; }
  [[nodiscard]] bool decided() const noexcept { return decided_; }
  [[nodiscard]] bool written() const noexcept { return number_ != 0; }

 private:
  friend class awaited_list;
  const std::size_t bytes_;
  const base::time_point deadline_;
  const told_function done_;
  std::uint64_t number_ = 0;  // of the connection's own messages; 0: not written
  std::uint64_t sequence_ = 0;
  multicast_fate fate_ = multicast_fate::not_sent;
  std::optional<error> cause_;
  bool decided_ = false;
  bool in_window_ = true;
  std::atomic<bool> told_{false};
};

class awaited_list {
 public:
  awaited_list() = default;
  awaited_list(const awaited_list&) = delete;
  awaited_list& operator=(const awaited_list&) = delete;

  /// Ahead of whatever is asked for after it.
  awaited& add(std::size_t bytes, base::time_point deadline, awaited::told_function done);
  /// A message of this connection has been written, or the first piece of one; `one`: if somebody waits for it.
  void written(awaited* one) noexcept {
    ++written_;
    if (one != nullptr) {
      one->number_ = written_;
    }
  }
  /// The last that was written will never be whole.
  void torn(awaited* one) noexcept {
    --written_;
    if (one != nullptr) {
      one->number_ = 0;
    }
  }
  /// An own message has come back: the one that waits for it, decided or not. Null: nobody does.
  awaited* came_back() noexcept {
    ++back_;
    return next_ == list_.end() ? nullptr : next_back();
  }
  static void confirm(awaited& one, std::uint64_t sequence) noexcept {
    one.decided_ = true;
    one.fate_ = multicast_fate::confirmed;
    one.sequence_ = sequence;
  }
  void fail(awaited& one, const error& why);
  /// From here on what fails may get there all the same, whether it has been written or not.
  void all_may_get_there() noexcept { all_unknown_ = true; }
  /// Runs `failed(awaited&)` for each that is not decided.
  template <class Failed>
  void each_open(Failed&& failed) {
    for (awaited& one : list_) {
      if (!one.decided_) {
        failed(one);
      }
    }
  }
  /// Runs `untold(awaited&)` for each that has not been told: when nobody else will, for all threads have ended.
  template <class Untold>
  void each_untold(Untold&& untold) {
    for (awaited& one : list_) {
      if (!one.told_.load(std::memory_order_relaxed)) {
        untold(one);
      }
    }
  }
  [[nodiscard]] bool all_told() {
    bool all = true;
    each_untold([&all](const awaited&) { all = false; });
    return all;
  }
  /// The earliest deadline, or earlier.
  [[nodiscard]] std::optional<base::time_point> next_deadline() const noexcept { return earliest_; }
  /// Runs `failed(awaited&)` for each whose deadline has passed.
  template <class Failed>
  void expire(base::time_point now, Failed&& failed) {
    if (!earliest_ || now < *earliest_) {
      return;
    }
    earliest_.reset();
    each_open([&](awaited& one) {
      if (one.deadline_ <= now) {
        failed(one);
      } else if (!earliest_ || one.deadline_ < *earliest_) {
        earliest_ = one.deadline_;
      }
    });
  }
  /// Nothing comes back any more: all room in the sender's window is free.
  void close_window() noexcept;
  [[nodiscard]] bool empty() const noexcept { return list_.empty(); }
  /// Lets go of those that have been told and keep no place; of those in the middle of a long list not at once. The bytes of the sender's
  /// window that are free again.
  std::size_t sweep();

  /// What one takes of the sender's window beside its payload: no number of empty messages is free.
  static constexpr std::size_t overhead = 128;

 private:
  awaited* next_back() noexcept;
  void free_window(awaited& one) noexcept;
  void erase(std::list<awaited>::iterator which);

  std::list<awaited> list_;
  std::list<awaited>::iterator next_ = list_.end();  // none before it can come back any more
  std::uint64_t written_ = 0, back_ = 0;
  std::size_t unsent_ = 0;            // decided without having been written: they can go from the middle
  std::size_t calls_since_pass_ = 0;  // of sweep(), since it looked at the middle
  std::size_t freed_ = 0;
  std::optional<base::time_point> earliest_;
  bool all_unknown_ = false;
};

}  // namespace cpgring::cpg
