// Counts what a test program allocates. A program that links counted_allocations.cpp uses its operators new
// and delete everywhere.
#pragma once

#include <cstdint>

namespace cpgring::test {

/// Allocations of the whole process since its start, on any thread.
std::uint64_t allocations_so_far();

}  // namespace cpgring::test
