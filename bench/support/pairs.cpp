#include "support/pairs.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace cpgring::bench {
namespace {

double median(std::vector<double> values) {
  if (values.empty()) {
    return 0;
  }
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 != 0 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// The samples speak for themselves; Google Benchmark's own report of each repetition is not wanted.
class silent final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const auto& run : runs) {
      if (run.error_occurred) {
        error = run.error_message;
      }
    }
  }
  std::string error;
};

struct samples {
  std::vector<double> cpu, wall;
};

void add_side(const std::string& name, int repetitions, const std::function<sample()>& side, samples& into) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [&side, &into](benchmark::State& state) {
                                 for (auto _ : state) {
                                   try {
                                     const sample one = side();
                                     state.SetIterationTime(one.wall_seconds);
                                     into.cpu.push_back(one.cpu_seconds * 1e9 / one.events);
                                     into.wall.push_back(one.wall_seconds * 1e9 / one.events);
                                   } catch (const std::exception& e) {
                                     state.SkipWithError(e.what());
                                     break;
                                   }
                                 }
                               })
      ->Iterations(1)
      ->Repetitions(repetitions)
      ->UseManualTime();
}

}  // namespace

void pairs::run(const std::string& name, double at_least, int repetitions, const std::function<sample()>& ours,
                const std::function<sample()>& peer, bool by_wall) {
  samples our_samples, peer_samples;
  benchmark::ClearRegisteredBenchmarks();
  add_side(name + "/cpgring", repetitions, ours, our_samples);
  add_side(name + "/peer", repetitions, peer, peer_samples);
  silent reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  if (!reporter.error.empty()) {
    throw std::runtime_error(fmt::format("{}: {}", name, reporter.error));
  }
  row r{name, at_least, median(our_samples.cpu), median(peer_samples.cpu), median(our_samples.wall), median(peer_samples.wall), 0};
  r.ratio = by_wall ? r.peer_wall / r.ours_wall : r.peer_cpu / r.ours_cpu;
  const auto spread = [](const std::vector<double>& v) {
    return fmt::format("{:.1f}..{:.1f}", *std::min_element(v.begin(), v.end()), *std::max_element(v.begin(), v.end()));
  };
  fmt::print("# {}: cpgring {:.1f} ({}), peer {:.1f} ({}) ns per {}, {:.1f} times\n", name, by_wall ? r.ours_wall : r.ours_cpu,
             spread(by_wall ? our_samples.wall : our_samples.cpu), by_wall ? r.peer_wall : r.peer_cpu,
             spread(by_wall ? peer_samples.wall : peer_samples.cpu), unit_, r.ratio);
  std::fflush(stdout);
  rows_.push_back(r);
}

bool pairs::print() const {
  bool all = true;
  fmt::print("\n{:<34} {:>14} {:>14} {:>14} {:>14} {:>8} {:>9}\n", "ns per " + unit_, "cpgring cpu", "peer cpu", "cpgring wall",
             "peer wall", "ratio", "wanted");
  for (const row& r : rows_) {
    fmt::print("{:<34} {:>14.1f} {:>14.1f} {:>14.1f} {:>14.1f} {:>8.1f} {:>9}\n", r.name, r.ours_cpu, r.peer_cpu, r.ours_wall, r.peer_wall,
               r.ratio, r.at_least > 0 ? fmt::format(">= {}", r.at_least) : "");
    all = all && r.ratio >= r.at_least;
  }
  return all;
}

}  // namespace cpgring::bench
