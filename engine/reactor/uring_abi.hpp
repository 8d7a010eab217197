// Constants of the kernel that Debian's liburing 2.3 does not name (include/uapi/linux/io_uring.h, futex.h).
// Each feature behind them is probed at start.
#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>

namespace cpgring::reactor::abi {

inline constexpr std::uint8_t op_futex_wait = 51;       // Linux 6.7
inline constexpr std::uint32_t futex2_size_u32 = 0x02;  // shared: FUTEX2_PRIVATE not set
inline constexpr std::uint64_t futex_match_any = 0xffffffff;
inline constexpr std::uint32_t enter_no_iowait = 1U << 7;     // IORING_ENTER_NO_IOWAIT
inline constexpr std::uint32_t feature_no_iowait = 1U << 17;  // IORING_FEAT_NO_IOWAIT

static_assert(sizeof(io_uring_sqe) == 64 && offsetof(io_uring_sqe, addr3) == 48,
              "futex waits put their mask into addr3");

/// Prepares a wait until the futex is woken; it ends at once if *word is not 0.
inline void prepare_futex_wait(io_uring_sqe* sqe, std::uint32_t* word) noexcept {
  io_uring_prep_rw(op_futex_wait, sqe, static_cast<int>(futex2_size_u32), word, 0, 0);
  sqe->addr3 = futex_match_any;
}

}  // namespace cpgring::reactor::abi
