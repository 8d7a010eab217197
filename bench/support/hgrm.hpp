// Writes latency distributions to files for HdrHistogram's plotters and for the report; values in
// microseconds.
#pragma once

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include <cpgring/histogram.hpp>

namespace cpgring::bench {

/// Writes `folder`/`name`.hgrm; nothing if `folder` is empty.
inline void write_hgrm(const std::filesystem::path& folder, const std::string& name,
                       const histogram& values) {
  if (folder.empty()) {
    return;
  }
  const auto path = folder / (name + ".hgrm");
  std::ofstream file(path);
  file << values.to_hgrm(1000.0);
  file.close();
  if (!file) {
    throw std::system_error(errno, std::generic_category(), "write " + path.string());
  }
}

}  // namespace cpgring::bench
