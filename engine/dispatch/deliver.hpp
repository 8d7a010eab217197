// Station D8 of 9: from delivery/inline_lane, to lease/chunk_ledger.
//
// The only place where user code runs. Everything that it throws becomes an error; no exception unwinds
// through the engine.
#pragma once

#include <exception>
#include <optional>
#include <string>

#include <cpgring/error.hpp>

namespace cpgring::dispatch {

/// A separate function, so that the hot path holds no code for it. Call it inside a catch block.
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
