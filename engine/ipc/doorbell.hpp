// Station C9 of 11: from ipc/ring_writer, to ipc/response_reader.
//
// The byte on the socket for each request, and the bytes of the events. One thread.
//
// - A socket holds about 278 one-byte sends (212992 bytes of buffers at 768 bytes each).
// - A stock daemon that takes a chunk whose byte is missing waits for it with all its clients. So at most
//   outstanding_limit() requests may wait in the ring: then the send always finds room.
// - A daemon takes up to 50 requests from the ring before it reads their bytes, so there can be that many
//   more bytes than requests.
#pragma once

#include <cstdint>

#include <cpgring/result.hpp>

namespace cpgring::ipc {

class doorbell {
 public:
  static constexpr std::uint32_t outstanding_max = 192;
  static constexpr std::uint32_t service_batch_max = 50;

  /// Requests that may wait in the ring so that their bytes fit into this socket: outstanding_max, or fewer
  /// if its send buffer is small.
  static std::uint32_t outstanding_limit(int fd) noexcept;

  /// Sends `requests` bytes; call it at once after their publication. Bytes that the socket does not take are
  /// owed. Errors: service_lost.
  result<void> ring(int fd, std::uint32_t requests) noexcept;
  /// Owed bytes. While there are any, nothing else may be published; call send_owed() first.
  [[nodiscard]] std::uint32_t owed() const noexcept { return owed_; }
  /// Sends owed bytes as far as the socket takes them. Errors: service_lost.
  result<void> send_owed(int fd) noexcept { return ring(fd, 0); }

  /// Reads all event bytes that are there, without blocking, and returns their number. Bytes only mean that
  /// there may be something in the event ring; its semaphore has the count. Errors: service_lost at the end
  /// of the stream.
  static result<std::uint64_t> drain(int fd) noexcept;

 private:
  std::uint32_t owed_ = 0;
};

}  // namespace cpgring::ipc
