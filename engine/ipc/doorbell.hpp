// Station C5 of 7: from ipc/ring_writer, to ipc/response_reader.
//
// The byte on the socket that goes with each request, and the bytes that come with each event. One thread.
//
// A socket holds about 278 one-byte sends (212992 bytes of buffers at 768 each). A chunk whose byte is missing lets a stock daemon wait for
// it with all its clients, so no more than outstanding_limit() requests may wait in the ring: then the send has room for certain. A daemon
// takes up to 50 requests from the ring before it reads their bytes, so that many more bytes than requests can be under way.
#pragma once

#include <cstdint>

#include <cpgring/error.hpp>

namespace cpgring::ipc {

class doorbell {
 public:
  static constexpr std::uint32_t outstanding_max = 192;
  static constexpr std::uint32_t service_batch_max = 50;

  /// How many requests may wait in the ring so that their bytes fit into this socket: outstanding_max, or fewer when its send buffer is
  /// small.
  static std::uint32_t outstanding_limit(int fd) noexcept;

  /// One send of `requests` bytes, at once behind their publication. Should the socket not take them all the rest is owed. Errors:
  /// service_lost.
  result<void> ring(int fd, std::uint32_t requests) noexcept;
  /// Bytes owed; while there are any, nothing else may be published, and settle() comes first.
  [[nodiscard]] std::uint32_t owed() const noexcept { return owed_; }
  /// Sends what is owed, as far as the socket takes it. Errors: service_lost.
  result<void> settle(int fd) noexcept { return ring(fd, 0); }

  /// For those who read the socket: takes all event bytes that are there, in bulk, without blocking; how many. They say that there is
  /// something in the event ring, not how much: counts are the semaphore's. Errors: service_lost at the end of the stream.
  static result<std::uint64_t> drain(int fd) noexcept;

 private:
  std::uint32_t owed_ = 0;
};

}  // namespace cpgring::ipc
