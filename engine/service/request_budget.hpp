// Limits how many requests of a client are handled for one event of its socket. Service thread only.
//
// libqb takes requests from the client's ring and then reads one byte for each from the socket, waiting for
// bytes that have not arrived. A client that stops between a request and its byte would block all others.
#pragma once

#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>

#include "service/event_loop.hpp"

namespace cpgring::service {

class request_budget {
 public:
  explicit request_budget(const event_loop& loop) noexcept : loop_(loop) {}

  /// Counts one handled request. Returns what to return to libqb: 0, or negative for "no more requests before
  /// the next event".
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
