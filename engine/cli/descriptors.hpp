// Replaces those of the descriptors 0 to 2 that were closed when the program started.
#pragma once

namespace cpgring::cli {

/// Opens /dev/null on each of 0, 1 and 2 that is closed, so that no socket or file gets that number.
/// Descriptor 0 is opened for writing and descriptor 1 for reading, so that using them still fails as for a
/// closed one. Must be called before anything else. False: /dev/null can't be opened.
bool open_missing_descriptors() noexcept;

}  // namespace cpgring::cli
