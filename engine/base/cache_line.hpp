// The distance that keeps two threads' data apart.
//
// 128, not std::hardware_destructive_interference_size: CPUs prefetch lines in pairs, so 64 bytes still share.
#pragma once

#include <cstddef>

namespace cpgring::base {
inline constexpr std::size_t cache_line = 128;
}
