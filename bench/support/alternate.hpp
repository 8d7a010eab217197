// Several sides of one case run in one process, repetition by repetition, in a random order of Google Benchmark's.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace cpgring::bench {

struct side {
  std::string name;
  std::function<void()> repetition;  ///< keeps its own figures
};

/// Throws std::runtime_error with what a side threw.
void alternate(const std::string& name, int repetitions, const std::vector<side>& sides);

}  // namespace cpgring::bench
