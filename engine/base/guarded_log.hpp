// A user's log callback as the library calls it: it gets no line below its level, and what it throws ends nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include <cpgring/log.hpp>

namespace cpgring::base {

/// Lines whose callback threw; any thread.
using log_failures = std::shared_ptr<std::atomic<std::uint64_t>>;

/// Empty for an empty `user`.
inline log_callback guarded_log(log_callback user, log_level least, log_failures failures) {
  if (!user) {
    return {};
  }
  return [user = std::move(user), least, failures = std::move(failures)](log_level level, std::string_view text) noexcept {
    if (level < least) {
      return;
    }
    try {
      user(level, text);
    } catch (...) {
      failures->fetch_add(1, std::memory_order_relaxed);  // only counted
    }
  };
}

}  // namespace cpgring::base
