#include "support/alternate.hpp"

#include <mutex>
#include <stdexcept>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

namespace cpgring::bench {
namespace {

/// Discards Google Benchmark's reports, except errors: the sides record their own figures.
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

void initialize_once() {
  static std::once_flag once;
  std::call_once(once, [] {
    char program[] = "cpgring-bench", interleaving[] = "--benchmark_enable_random_interleaving=true";
    char* words[] = {program, interleaving, nullptr};
    int count = 2;
    benchmark::Initialize(&count, words);
  });
}

}  // namespace

void alternate(const std::string& name, int repetitions, const std::vector<side>& sides) {
  initialize_once();
  benchmark::ClearRegisteredBenchmarks();
  for (const auto& one : sides) {
    benchmark::RegisterBenchmark(fmt::format("{}/{}", name, one.name).c_str(),
                                 [&one](benchmark::State& state) {
                                   for (auto _ : state) {
                                     try {
                                       one.repetition();
                                     } catch (const std::exception& e) {
                                       state.SkipWithError(e.what());
                                       break;
                                     }
                                   }
                                 })
        ->Iterations(1)
        ->Repetitions(repetitions);
  }
  silent reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  if (!reporter.error.empty()) {
    throw std::runtime_error(fmt::format("{}: {}", name, reporter.error));
  }
}

}  // namespace cpgring::bench
