// Wraps a user's log callback: drops lines below a level, and catches and counts exceptions.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include <cpgring/log.hpp>

namespace cpgring::base {

/// Number of lines whose callback threw. Any thread.
using log_failures = std::shared_ptr<std::atomic<std::uint64_t>>;

/// Returns an empty function for an empty `user`.
inline log_callback guarded_log(log_callback user, log_level least, log_failures failures) {
  if (!user) {
    return {};
  }
  return [user = std::move(user), least, failures = std::move(failures)](log_level level,
                                                                         std::string_view text) noexcept {
    if (level < least) {
      return;
    }
    try {
      user(level, text);
    } catch (...) {
      failures->fetch_add(1, std::memory_order_relaxed);  // a counter only
    }
  };
}

}  // namespace cpgring::base
