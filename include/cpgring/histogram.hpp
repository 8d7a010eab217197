// A high-dynamic-range histogram: values from 1 to 2^62 kept to three significant digits, in fixed memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cpgring {

/// One thread records; merge() joins several. About 180 KiB each. Units are the user's (nanoseconds, as a rule).
class histogram {
 public:
  histogram();
  /// Counts `value` (0 counts as 0; negative ones can't be given). A few nanoseconds, no allocation.
  void record(std::uint64_t value) noexcept { record(value, 1); }
  void record(std::uint64_t value, std::uint64_t times) noexcept;
  /// Adds another one's counts.
  void merge(const histogram& other) noexcept;
  void reset() noexcept;

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t min() const noexcept { return count_ == 0 ? 0 : min_; }
  [[nodiscard]] std::uint64_t max() const noexcept { return max_; }
  [[nodiscard]] double mean() const noexcept;
  [[nodiscard]] double standard_deviation() const noexcept;
  /// The smallest kept value that at least `percent` (0..100) of all recorded ones do not exceed; never above max(). 0 when empty.
  [[nodiscard]] std::uint64_t percentile(double percent) const noexcept;
  /// The text form that HdrHistogram's plotters read (.hgrm); values are divided by `unit`.
  [[nodiscard]] std::string to_hgrm(double unit = 1.0) const;

 private:
  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::uint64_t min_ = UINT64_MAX;
  std::uint64_t max_ = 0;
  double sum_ = 0;
  double sum_of_squares_ = 0;
};

}  // namespace cpgring
