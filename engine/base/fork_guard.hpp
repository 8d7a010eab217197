// Detects that an object belongs to the parent process: one byte on a page that the kernel zeroes at fork().
// Costs a memory read, no system call.
#pragma once

#include <utility>
#include <vector>

#include "base/owned.hpp"

namespace cpgring::base {

class fork_guard {
 public:
  fork_guard();  // throws std::system_error
  [[nodiscard]] bool in_child() const noexcept {
    return *static_cast<const volatile unsigned char*>(static_cast<const void*>(page_.data())) == 0;
  }

 private:
  unique_mapping page_;
};

/// Keeps the parent's object for the rest of the child's life. Its destructor must not run in the child: it
/// would join threads that do not exist there, or change what is shared with the parent.
template <class Owner>
void forsake(Owner of_the_parent) {
  static auto& forsaken = *new std::vector<Owner>();
  forsaken.push_back(std::move(of_the_parent));
}

}  // namespace cpgring::base
