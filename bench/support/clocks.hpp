// Measures the wall time and CPU time of a piece of work.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>

namespace cpgring::bench {

inline double cpu_seconds(clockid_t of = CLOCK_PROCESS_CPUTIME_ID) noexcept {
  timespec t{};
  ::clock_gettime(of, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

inline std::uint64_t now_ns() noexcept {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

/// The cost of one repetition of one side, for each event.
struct cost {
  double cpu_ns = 0;
  double wall_ns = 0;
};

/// CPU time is that of the whole process, unless `of` names another clock: so it includes all threads of a
/// library.
template <class Work>
cost cost_of(double events, const Work& work, clockid_t of = CLOCK_PROCESS_CPUTIME_ID) {
  const auto began = now_ns();
  const double cpu = cpu_seconds(of);
  work();
  const double used = cpu_seconds(of) - cpu;
  return {used * 1e9 / events, static_cast<double>(now_ns() - began) / events};
}

}  // namespace cpgring::bench
