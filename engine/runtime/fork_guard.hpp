// Tells a child process that an engine is its parent's: one byte on a page that the kernel wipes at fork. A read, no system call.
#pragma once

#include "base/owned.hpp"

namespace cpgring::runtime {

class fork_guard {
 public:
  fork_guard();  // throws std::system_error
  [[nodiscard]] bool in_child() const noexcept {
    return *static_cast<const volatile unsigned char*>(static_cast<const void*>(page_.data())) == 0;
  }

 private:
  base::unique_mapping page_;
};

}  // namespace cpgring::runtime
