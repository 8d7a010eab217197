// The log of the service's thread. Lines that clients can cause are rate-limited; see base/limited_log.hpp.
#pragma once

#include <chrono>
#include <string_view>
#include <utility>

#include "base/clock.hpp"
#include "base/limited_log.hpp"
#include "service/event_loop.hpp"

namespace cpgring::service {

class service_log {
 public:
  static constexpr std::chrono::seconds period{10};

  /// `loop` must not run after this is destroyed: its timer logs the sums.
  service_log(log_callback to, event_loop& loop) : log_(std::move(to), period), loop_(loop) {}

  void say(log_level level, std::string_view text) const { log_.say(level, text); }
  void say(log_level level, base::limited_log::cause why, std::string_view text) {
    log_.say(level, std::move(why), text, base::clock::now());
    arm();
  }
  /// Logs all pending sums. For shutdown.
  void finish() { log_.finish(); }

 private:
  void arm() {
    const auto due = log_.due();
    if (armed_ || !due) {
      return;
    }
    armed_ = true;
    loop_.call_after(*due - base::clock::now(), [this] {
      armed_ = false;
      log_.write_due_sums(base::clock::now());
      arm();
    });
  }

  base::limited_log log_;
  event_loop& loop_;
  bool armed_ = false;
};

}  // namespace cpgring::service
