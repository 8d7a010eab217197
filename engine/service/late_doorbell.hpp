// Makes a socket look full to libqb during one send: the event is written to the ring, and its doorbell byte
// stays owed.
//
// libqb sends the byte itself, counts what the socket refuses, and sends it once there is room. libqb's
// public interface shows the descriptor of a connection's socket (it is passed to the poll handlers). During
// the send that descriptor refers to another socket, which is really full; it is restored before any other
// code uses it. The caller must also keep the loop from reporting room on it; see event_loop::hold_output().
// One thread; no other thread may use the descriptor.
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
    // Where a block no longer fits, a single byte may.
    while (::send(near_.get(), block, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
  }

  /// From construction to destruction `fd` refers to the full socket. False: no descriptor was free, and `fd`
  /// is unchanged.
  class instead_of {
   public:
    instead_of(const full_socket& full, std::int32_t fd) noexcept
        : fd_(fd), real_(full.near_ ? ::fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1) {
      if (real_ && ::dup3(full.near_.get(), fd_, O_CLOEXEC) < 0) {
        real_.reset();
      }
    }
    ~instead_of() {
      if (real_) {
        // dup3() cannot fail here. It needs no new descriptor, since fd_ is open; and EBUSY needs a race with
        // open() in another thread, which is impossible while fd_ is open.
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
