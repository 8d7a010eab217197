// Station C5 of 7: from ipc/ring_writer, to ipc/response_reader.
//
// The byte on the socket that goes with each request, and the bytes that come with each event. One thread.
//
// A socket holds about 278 one-byte sends. A chunk whose byte is missing lets a stock daemon wait for it with all its clients, so requests are not
// published once `outstanding_max` of them are not yet taken: then the send has room for certain (a daemon reads the bytes of at most 50 requests late).
#pragma once

#include <cstdint>

#include <cpgring/error.hpp>

namespace cpgring::ipc {

class doorbell {
 public:
  static constexpr std::uint32_t outstanding_max = 192;

  /// One send of `requests` bytes, at once behind their publication. What the socket does not take is owed. Errors: service_lost.
  result<void> ring(int fd, std::uint32_t requests) noexcept;
  /// Bytes owed; while there are any, nothing else may be published.
  [[nodiscard]] std::uint32_t owed() const noexcept { return owed_; }
  result<void> settle(int fd) noexcept { return ring(fd, 0); }

 private:
  std::uint32_t owed_ = 0;
};

}  // namespace cpgring::ipc
