// --inject of cpgring serve: faults of the service, in text.
#pragma once

#include <string>
#include <string_view>

#include <cpgring/service_faults.hpp>

namespace cpgring::cli {

/// `KIND=RATE`, or `KIND=RATE:N` for the kinds that have a number of their own. Sets that kind in `into`, leaves the others.
/// Errors: invalid_param; the text says what is wrong and what there is instead.
result<void> parse_fault(std::string_view text, service_faults& into);

/// For --help: each kind, what its rate counts and what its N is.
std::string fault_kinds_text();

/// "3 torn-frame, 1 stall", only those that were committed.
std::string committed_text(const injected_faults& faults);

}  // namespace cpgring::cli
