#include "ipc/doorbell.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace cpgring::ipc {

result<void> doorbell::ring(int fd, std::uint32_t requests) noexcept {
  static constexpr std::array<char, 256> bytes{};  // their values mean nothing
  owed_ += requests;
  while (owed_ != 0) {
    const auto sent = ::send(fd, bytes.data(), std::min<std::size_t>(owed_, bytes.size()), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      owed_ -= static_cast<std::uint32_t>(sent);
    } else if (sent < 0 && errno == EINTR) {
      continue;
    } else if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return {};
    } else {
      owed_ = 0;
      return fail(errc::service_lost);
    }
  }
  return {};
}

}  // namespace cpgring::ipc
