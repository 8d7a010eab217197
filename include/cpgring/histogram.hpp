// A high-dynamic-range histogram: values from 0 to 2^62 - 1, kept to three significant digits, in fixed
// memory.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <cstdint>
#include <string>
#include <vector>

namespace cpgring {

/// For one thread at a time; merge() combines the histograms of several threads. Takes 424 KiB. The unit of
/// values is the user's choice, usually nanoseconds.
class histogram {
 public:
  histogram();
  /// Counts `value`; values from 2^62 on count as 2^62 - 1. Takes a few nanoseconds, allocates nothing.
  void record(std::uint64_t value) noexcept { record(value, 1); }
  void record(std::uint64_t value, std::uint64_t times) noexcept;
  /// Adds the counts of another histogram.
  void merge(const histogram& other) noexcept;
  void reset() noexcept;

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t min() const noexcept { return count_ == 0 ? 0 : min_; }
  [[nodiscard]] std::uint64_t max() const noexcept { return max_; }
  [[nodiscard]] double mean() const noexcept;
  [[nodiscard]] double standard_deviation() const noexcept;
  /// The smallest kept value that at least `percent` (0..100) of the recorded values do not exceed; at most
  /// max(). 0 if the histogram is empty.
  [[nodiscard]] std::uint64_t percentile(double percent) const noexcept;
  /// The text form (.hgrm) that HdrHistogram's plotters read. Values are divided by `unit`.
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

#endif
