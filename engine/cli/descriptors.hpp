// Descriptors 0 to 2 of a program that was started without some of them.
#pragma once

namespace cpgring::cli {

/// Opens /dev/null on each of 0, 1 and 2 that is closed, so that no socket or file gets that number. On 0 for writing and on 1 for reading:
/// using them still fails, as it does where they are closed. Call it before anything else. False: /dev/null can't be opened.
bool open_missing_descriptors() noexcept;

}  // namespace cpgring::cli
