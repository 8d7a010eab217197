// Runs several sides of one case in one process, repetition by repetition, in a random order chosen by Google
// Benchmark.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace cpgring::bench {

struct side {
  std::string name;
  std::function<void()> repetition;  ///< records its own figures
};

/// Throws std::runtime_error with the text of what a side threw.
void alternate(const std::string& name, int repetitions, const std::vector<side>& sides);

}  // namespace cpgring::bench
