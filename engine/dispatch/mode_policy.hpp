// The four modes of cpg_dispatch(3), as conditions that the dispatch loop checks.
#pragma once

#include <cstdint>
#include <optional>

#include <cpgring/mode.hpp>

#include "base/clock.hpp"

namespace cpgring::dispatch {

class mode_policy {
 public:
  mode_policy(mode how, const budget& limit, base::time_point now) noexcept
      : events_left_(how == mode::one || how == mode::one_nonblocking ? 1
                     : limit.events == 0                              ? UINT32_MAX
                                                                      : limit.events),
        bytes_left_(limit.bytes == 0 ? UINT64_MAX : limit.bytes),
        sleeps_(how == mode::one || how == mode::blocking),
        only_what_waits_(how == mode::all),
        try_again_when_empty_(how == mode::one_nonblocking),
        endless_(how == mode::blocking) {
    if (limit.time.count() != 0) {
      until_ = base::later(now, limit.time);
    }
  }

  /// The call sleeps while nothing waits.
  [[nodiscard]] bool sleeps() const noexcept { return sleeps_; }
  /// The call takes only events that waited when it began.
  [[nodiscard]] bool only_what_waits() const noexcept { return only_what_waits_; }
  [[nodiscard]] bool try_again_when_empty() const noexcept { return try_again_when_empty_; }
  [[nodiscard]] std::uint32_t events_left() const noexcept { return events_left_; }
  [[nodiscard]] std::uint64_t bytes_left() const noexcept { return bytes_left_; }
  [[nodiscard]] std::optional<base::time_point> until() const noexcept { return until_; }

  void count(std::uint32_t events, std::uint64_t bytes) noexcept {
    done_.events += events;
    done_.bytes += bytes;
    if (events_left_ != UINT32_MAX) {
      events_left_ -= events < events_left_ ? events : events_left_;
    }
    if (bytes_left_ != UINT64_MAX) {
      bytes_left_ -= bytes < bytes_left_ ? bytes : bytes_left_;
    }
  }
  /// A bound is reached: the call returns.
  [[nodiscard]] bool used_up(base::time_point now) const noexcept {
    return events_left_ == 0 || bytes_left_ == 0 ||
           (until_ && now >= *until_ && (done_.events != 0 || sleeps_));
  }
  /// True in mode `one` once an event has run. Never in mode `blocking`.
  [[nodiscard]] bool content() const noexcept { return !endless_ && done_.events != 0 && sleeps_; }
  dispatched& done() noexcept { return done_; }

 private:
  std::uint32_t events_left_;
  std::uint64_t bytes_left_;
  std::optional<base::time_point> until_;
  bool sleeps_, only_what_waits_, try_again_when_empty_, endless_;
  dispatched done_;
};

}  // namespace cpgring::dispatch
