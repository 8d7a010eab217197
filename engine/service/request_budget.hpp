// How many requests of a client may be handled in one report of its socket. The service's thread.
//
// libqb takes requests from the client's ring, and then reads as many bytes from its socket, waiting for those that are not there. A client
// that stopped between a request and its byte would hold up everybody.
#pragma once

#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>

#include "service/event_loop.hpp"

namespace cpgring::service {

class request_budget {
 public:
  explicit request_budget(const event_loop& loop) noexcept : loop_(loop) {}

  /// A request has been handled. What libqb is to be told: 0, or negative for "no more before the next report".
  [[nodiscard]] std::int32_t spend() noexcept {
    if (report_ != loop_.reports()) {
      report_ = loop_.reports();
      int unread = 0;
      left_ = ::ioctl(loop_.reporting(), FIONREAD, &unread) == 0 ? unread : 0;
    }
    return --left_ > 0 ? 0 : -ENOBUFS;
  }

 private:
  const event_loop& loop_;
  std::uint64_t report_ = 0;
  std::int32_t left_ = 0;
};

}  // namespace cpgring::service
