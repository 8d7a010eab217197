// The alignment that keeps data of two threads in separate cache lines.
//
// 128 and not std::hardware_destructive_interference_size: CPUs prefetch lines in pairs, so data 64 bytes
// apart still causes false sharing.
#pragma once

#include <cstddef>

namespace cpgring::base {
inline constexpr std::size_t cache_line = 128;
}
