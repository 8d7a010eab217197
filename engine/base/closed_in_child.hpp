// Descriptors that a child of fork() must not keep open, because it would keep the parent's connections and
// socket names alive after the parent's death.
#pragma once

#include <utility>

namespace cpgring::base {

/// While this object lives, a child closes its copy of the descriptor before fork() returns in it. Any
/// thread. The owner of the descriptor destroys this object before it closes the descriptor. A child must
/// neither use nor destroy its copy of the owner (see fork_guard).
class closed_in_child {
 public:
  closed_in_child() = default;
  /// A negative `fd` is ignored. Throws std::bad_alloc, std::system_error.
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
