// The option --inject of cpgring serve: the faults of the service, as text.
#pragma once

#include <string>
#include <string_view>

#include <cpgring/testing.hpp>

namespace cpgring::cli {

/// Parses `KIND=RATE`, or `KIND=RATE:N` for the kinds that take a number. Changes only that kind in `into`.
/// Errors: invalid_param; the text says what is wrong and what is allowed.
result<void> parse_fault(std::string_view text, testing::service_faults& into);

/// For --help: each kind with the meaning of its N and of its occasions.
std::string fault_kinds_text();

/// Such as "3 torn-frame, 1 stall"; names only the kinds that were committed.
std::string committed_text(const testing::injected_faults& faults);

}  // namespace cpgring::cli
