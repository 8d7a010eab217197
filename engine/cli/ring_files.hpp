// Finds and copies the files of libqb rings. Nothing is written, created or mapped.
//
// The files may change, shrink or vanish meanwhile: they are read with pread(), which does not fail for a
// page that is gone as a mapping does.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <cpgring/result.hpp>

namespace cpgring::cli {

/// The rings that `path` means, as paths without "-header" and "-data", sorted. `path`: one of a ring's two
/// files, or a folder of such files. Errors: no_such_file and other errnos, invalid_param (no ring's file).
result<std::vector<std::string>> rings_at(const std::string& path);

struct ring_copy {
  std::vector<std::byte> header, data;
  bool moved = false;  ///< the positions changed whenever the files were copied
};

/// Copies both files. A ring that is in use is copied again, up to 10 times, until its positions are the same
/// before and after. Errors: an errno, invalid_param (no regular file, or larger than any ring).
/// `meanwhile`: for tests; runs after the data was copied, each time.
result<ring_copy> copy_ring(const std::string& base, const std::function<void()>& meanwhile = {});

}  // namespace cpgring::cli
