// Station D7 of 9: from dispatch/inline_worker, to dispatch/release_count.
//
// The one line where user code runs. Whatever it throws ends here as an error; it never unwinds through the engine.
#pragma once

#include <exception>
#include <optional>
#include <string>

#include <cpgring/error.hpp>

namespace cpgring::dispatch {

/// Out of line, so that the hot path holds no code for it. Call inside a catch block.
error describe_thrown() noexcept;

template <class Call>
std::optional<error> deliver(Call&& call) noexcept {
  try {
    call();
    return std::nullopt;
  } catch (...) {
    return describe_thrown();
  }
}

}  // namespace cpgring::dispatch
