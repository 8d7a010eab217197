// Buckets of a high-dynamic-range histogram: 2048 steps of 1, then 1024 steps for each doubling, so that a
// step is at most a thousandth of its value.
#include <cpgring/histogram.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

#include <fmt/format.h>

namespace cpgring {
namespace {

constexpr unsigned half_bits = 10;                                          // 1024 steps for each doubling
constexpr std::uint64_t exact_below = std::uint64_t{1} << (half_bits + 1);  // smaller values are kept exactly
constexpr unsigned value_bits = 62;
constexpr std::uint64_t value_max = (std::uint64_t{1} << value_bits) - 1;
constexpr std::size_t bucket_count = (std::size_t{value_bits - half_bits} + 1) << half_bits;
// Lines in .hgrm for each halving of the rest to 100 %, as HdrHistogram's own writers have them.
constexpr int ticks_per_half = 5;

std::size_t bucket_of(std::uint64_t value) noexcept {
  if (value < exact_below) {
    return static_cast<std::size_t>(value);
  }
  const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - (half_bits + 1);
  return (std::size_t{shift} << half_bits) + static_cast<std::size_t>(value >> shift);
}

/// The largest value of the bucket.
std::uint64_t top_of(std::size_t bucket) noexcept {
  if (bucket < exact_below) {
    return bucket;
  }
  const std::size_t shift = (bucket >> half_bits) - 1;
  const std::uint64_t step = bucket - (shift << half_bits);
  return ((step + 1) << shift) - 1;
}

}  // namespace

histogram::histogram() : buckets_(bucket_count) {}

void histogram::record(std::uint64_t value, std::uint64_t times) noexcept {
  if (times == 0) {
    return;
  }
  value = std::min(value, value_max);
  buckets_[bucket_of(value)] += times;
  count_ += times;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
  const auto v = static_cast<double>(value), n = static_cast<double>(times);
  sum_ += v * n;
  sum_of_squares_ += v * v * n;
}

void histogram::merge(const histogram& other) noexcept {
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    buckets_[i] += other.buckets_[i];
  }
  count_ += other.count_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
  sum_of_squares_ += other.sum_of_squares_;
}

void histogram::reset() noexcept {
  std::fill(buckets_.begin(), buckets_.end(), 0);
  count_ = max_ = 0;
  min_ = UINT64_MAX;
  sum_ = sum_of_squares_ = 0;
}

double histogram::mean() const noexcept { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

double histogram::standard_deviation() const noexcept {
  if (count_ == 0) {
    return 0;
  }
  const double m = mean();
  return std::sqrt(std::max(0.0, sum_of_squares_ / static_cast<double>(count_) - m * m));
}

std::uint64_t histogram::percentile(double percent) const noexcept {
  if (count_ == 0) {
    return 0;
  }
  const double share = std::clamp(percent, 0.0, 100.0) / 100.0 * static_cast<double>(count_);
  const std::uint64_t wanted =
      std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share - 1e-9)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= wanted) {
      return std::min(top_of(i), max_);
    }
  }
  return max_;
}

std::string histogram::to_hgrm(double unit) const {
  std::string text =
      fmt::format("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
  const auto line = [&](double percent) {
    const std::uint64_t value = percentile(percent);
    std::uint64_t up_to = 0;
    for (std::size_t i = 0; i <= bucket_of(value); ++i) {
      up_to += buckets_[i];
    }
    const double left = 1.0 - percent / 100.0;
    text += fmt::format("{:12.3f} {:2.12f} {:10d} {:>14}\n", static_cast<double>(value) / unit,
                        percent / 100.0, up_to, left > 0 ? fmt::format("{:.2f}", 1.0 / left) : "inf");
  };
  double percent = 0;
  for (int step = 0;
       count_ != 0 && percent < 100.0 && (100.0 - percent) / 100.0 * static_cast<double>(count_) > 0.5;
       ++step) {
    line(percent);
    const double half = 50.0 / static_cast<double>(std::uint64_t{1} << (step / ticks_per_half));
    percent += half / ticks_per_half;
  }
  if (count_ != 0) {
    line(100.0);
  }
  text += fmt::format(
      "#[Mean    = {:12.3f}, StdDeviation   = {:12.3f}]\n#[Max     = {:12.3f}, Total count    = {:12d}]\n",
      mean() / unit, standard_deviation() / unit, static_cast<double>(max_) / unit, count_);
  text += fmt::format("#[Buckets = {:12d}, SubBuckets     = {:12d}]\n", value_bits - half_bits, exact_below);
  return text;
}

}  // namespace cpgring
