// A socket that looks full to libqb although it is not, for the length of one send: the event is in the ring, its byte is owed.
//
// libqb sends the byte itself and counts what the socket refuses, to be sent once there is room. Its public interface tells which
// descriptor a connection's socket has (it is what the poll handlers are given), so that descriptor is made to mean a socket which is
// really full, and back again before anything else looks at it. Whoever does so also keeps the loop from reporting room on it; see
// event_loop::hold_output(). One thread; the descriptor is used by no other.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

#include "base/owned.hpp"

namespace cpgring::service {

class full_socket {
 public:
  full_socket() noexcept {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
      return;
    }
    near_.reset(ends[0]);
    far_.reset(ends[1]);
    static constexpr char block[4096] = {};
    while (::send(near_.get(), block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
    // A block that does not fit may leave room for a byte.
    while (::send(near_.get(), block, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
  }

  /// From construction to destruction `fd` is full. Without descriptors to spare it stays what it is: false.
  class instead_of {
   public:
    instead_of(const full_socket& full, std::int32_t fd) noexcept : fd_(fd), real_(full.near_ ? ::fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1) {
      if (real_ && ::dup3(full.near_.get(), fd_, O_CLOEXEC) < 0) {
        real_.reset();
      }
    }
    ~instead_of() {
      if (real_) {
        // Neither fails for want of descriptors: fd_ is open. EBUSY would be a race with another thread's open(), which fd_ being open
        // excludes.
        ::dup3(real_.get(), fd_, O_CLOEXEC);
      }
    }
    instead_of(const instead_of&) = delete;
    instead_of& operator=(const instead_of&) = delete;
    explicit operator bool() const noexcept { return static_cast<bool>(real_); }

   private:
    const std::int32_t fd_;
    base::unique_fd real_;
  };

 private:
  base::unique_fd near_, far_;
};

}  // namespace cpgring::service
