// A service whose handshake answers the test writes byte by byte, on an abstract socket or a path.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "base/owned.hpp"
#include "unit/ipc/raw_ring.hpp"

namespace cpgring::ipc::test {

/// libqb's answer to a handshake. By default it is a valid answer that names rings which do not exist.
struct fake_answer {
  static constexpr std::size_t id = 0, size = 8, error = 16, type = 24, max_message_size = 28;
  static constexpr std::array<std::size_t, 3> names{40, 4136, 8232};  // request, response, event
  static constexpr std::size_t name_bytes = 4096;

  fake_answer() {
    put(id, -1);
    put(size, 12328);
    put(error, 0);
    put(type, 1);
    put(max_message_size, 16384);
    name(names[0], "/dev/shm/cpgring-test-no-such-request");
    name(names[1], "/dev/shm/cpgring-test-no-such-response");
    name(names[2], "/dev/shm/cpgring-test-no-such-event");
  }
  void put(std::size_t at, std::int64_t value) {
    const auto low = static_cast<std::uint32_t>(value);
    std::memcpy(bytes.data() + at, &low, sizeof low);
  }
  /// Writes the whole field; the rest is NUL.
  void name(std::size_t at, std::string_view text) {
    std::memset(bytes.data() + at, 0, name_bytes);
    std::memcpy(bytes.data() + at, text.data(), text.size());
  }
  [[nodiscard]] std::string_view text() const { return {bytes.data(), bytes.size()}; }

  std::array<char, 12328> bytes{};
};

/// The listening side. Needs no thread: neither side of a handshake blocks.
class fake_service {
 public:
  explicit fake_service(int backlog = 8, const std::string& path = {})
      : name_(path.empty() ? fresh_name("fake") : path),
        listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + (path.empty() ? 1 : 0), name_.data(), name_.size());
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), backlog) != 0) {
      std::perror(name_.c_str());
      std::abort();
    }
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  void accept() { client_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
  /// The bytes of the request received so far.
  [[nodiscard]] std::string request() const {
    std::string bytes(100, '\0');
    const auto got = ::recv(client_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return bytes;
  }
  void send(std::string_view bytes) const {
    if (::send(client_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) !=
        static_cast<ssize_t>(bytes.size())) {
      std::perror("send");
      std::abort();
    }
  }
  void hang_up() { client_.reset(); }
  void stop_listening() { listener_.reset(); }
  [[nodiscard]] int client() const { return client_.get(); }

 private:
  std::string name_;
  base::unique_fd listener_;
  base::unique_fd client_;
};

}  // namespace cpgring::ipc::test
