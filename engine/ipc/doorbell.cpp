#include "ipc/doorbell.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace cpgring::ipc {

std::uint32_t doorbell::outstanding_limit(int fd) noexcept {
  constexpr int one_byte_send = 768;
  int buffer = 0;
  socklen_t size = sizeof buffer;
  if (::getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, &size) != 0) {
    return 1;
  }
  const int sends = buffer / one_byte_send - static_cast<int>(service_batch_max);
  return static_cast<std::uint32_t>(std::clamp(sends, 1, static_cast<int>(outstanding_max)));
}

result<void> doorbell::ring(int fd, std::uint32_t requests) noexcept {
  static constexpr std::array<char, 256> bytes{};  // the values have no meaning
  owed_ += requests;
  while (owed_ != 0) {
    const auto sent =
        ::send(fd, bytes.data(), std::min<std::size_t>(owed_, bytes.size()), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      owed_ -= static_cast<std::uint32_t>(sent);
    } else if (sent < 0 && errno == EINTR) {
      continue;
    } else if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return {};
    } else {
      return fail(errc::service_lost);
    }
  }
  return {};
}

result<std::uint64_t> doorbell::drain(int fd) noexcept {
  std::array<char, 16384> bytes;  // owed bytes come in one piece: see doorbell_debt.hpp
  std::uint64_t total = 0;
  for (;;) {
    const auto got = ::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got > 0) {
      total += static_cast<std::uint64_t>(got);
      // A short read: the socket is empty, and one more call would only confirm it.
      if (static_cast<std::size_t>(got) < bytes.size()) {
        return total;
      }
    } else if (got < 0 && errno == EINTR) {
      continue;
    } else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return total;
    } else if (total != 0) {
      return total;  // the next call reports the end
    } else {
      return fail(errc::service_lost);
    }
  }
}

}  // namespace cpgring::ipc
