// Pairs of benchmarks: both sides run in one process, alternating; medians of all repetitions and their ratio are printed as a table.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

namespace cpgring::bench {

/// One repetition of one side: the seconds that count, and how many events they stand for.
struct sample {
  double cpu_seconds = 0;
  double wall_seconds = 0;
  double events = 1;
};

class pairs {
 public:
  /// `unit`: what one event is. Prints to standard output.
  explicit pairs(std::string unit) : unit_(std::move(unit)) {}
  /// Runs both sides, `repetitions` times each, interleaved at random by Google Benchmark. `by_wall`: the ratio is of wall time instead of
  /// CPU time.
  void run(const std::string& name, double at_least, int repetitions, const std::function<sample()>& ours,
           const std::function<sample()>& peer, bool by_wall = false);
  /// The table; true: each ratio is at least what it should be.
  bool print() const;

 private:
  struct row {
    std::string name;
    double at_least;
    double ours_cpu, peer_cpu, ours_wall, peer_wall, ratio;
  };
  std::string unit_;
  std::vector<row> rows_;
};

}  // namespace cpgring::bench
