// Command line of a benchmark program: a few named values. Anything else goes to Google Benchmark.
#pragma once

#include <sys/resource.h>

#include <cstdlib>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

namespace cpgring::bench {

class arguments {
 public:
  arguments(int argc, char** argv) : program_(argv[0]), words_(argv + 1, argv + argc) {}

  [[nodiscard]] std::string text(const std::string& name, std::string otherwise) {
    for (std::size_t i = 0; i + 1 < words_.size(); ++i) {
      if (words_[i] == name) {
        otherwise = words_[i + 1];
        words_.erase(words_.begin() + static_cast<std::ptrdiff_t>(i), words_.begin() + static_cast<std::ptrdiff_t>(i) + 2);
        break;
      }
    }
    return otherwise;
  }

  [[nodiscard]] int number(const std::string& name, int otherwise) {
    const std::string given = text(name, std::to_string(otherwise));
    char* end = nullptr;
    const long value = std::strtol(given.c_str(), &end, 10);
    if (given.empty() || *end != '\0' || value < 1 || value > 1 << 30) {
      fmt::print(stderr, "{}: {} wants a number from 1, not '{}'\n", program_, name, given);
      std::exit(2);
    }
    return static_cast<int>(value);
  }

  /// Both sides of a pair alternate at random.
  void done() {
    words_.insert(words_.begin(), program_);
    words_.emplace_back("--benchmark_enable_random_interleaving=true");
    for (auto& word : words_) {
      raw_.push_back(word.data());
    }
    int count = static_cast<int>(raw_.size());
    benchmark::Initialize(&count, raw_.data());
    if (benchmark::ReportUnrecognizedArguments(count, raw_.data())) {
      std::exit(2);
    }
  }

 private:
  std::string program_;
  std::vector<std::string> words_;
  std::vector<char*> raw_;
};

inline void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

}  // namespace cpgring::bench
