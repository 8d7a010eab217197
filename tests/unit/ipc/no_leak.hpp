// Checks that a test leaves no descriptor and no ring mapping open.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

namespace cpgring::ipc::test {

/// Compares the counts at destruction with those at construction. Declare it before all objects under test.
class no_leak {
 public:
  no_leak() : descriptors_(descriptors()), mappings_(mappings()) {}
  no_leak(const no_leak&) = delete;
  no_leak& operator=(const no_leak&) = delete;
  ~no_leak() {
    EXPECT_EQ(descriptors(), descriptors_) << "descriptors were left open, or closed twice";
    EXPECT_EQ(mappings(), mappings_) << "ring mappings remain";
  }

  static std::ptrdiff_t descriptors() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  }
  static std::ptrdiff_t mappings() {
    std::ifstream maps("/proc/self/maps");
    std::ptrdiff_t count = 0;
    for (std::string line; std::getline(maps, line);) {
      count += line.find("/dev/shm/") != std::string::npos ? 1 : 0;
    }
    return count;
  }

 private:
  std::ptrdiff_t descriptors_, mappings_;
};

}  // namespace cpgring::ipc::test
