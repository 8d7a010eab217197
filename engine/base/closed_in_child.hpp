// Descriptors that a child of fork() must not keep open: it would hold the parent's connections and names after the parent's death.
#pragma once

#include <utility>

namespace cpgring::base {

/// As long as this lives, a child closes its copy of the descriptor before fork() returns in it. Any thread. The owner of the descriptor
/// lets go of this first. A child must not use or destroy what it finds of the descriptor's owner (see fork_guard).
class closed_in_child {
 public:
  closed_in_child() = default;
  /// Throws std::bad_alloc, std::system_error. A negative `fd`: nothing.
  explicit closed_in_child(int fd);
  closed_in_child(closed_in_child&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  closed_in_child& operator=(closed_in_child&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~closed_in_child() { reset(); }
  void reset() noexcept;

 private:
  int fd_ = -1;
};

}  // namespace cpgring::base
