// Connects to a libqb service in steps that never block. Deadlines are up to the caller, who destroys the
// object to give up.
//
// Call begin(), then advance() until it returns `done`, waiting in between as it says, then finish(). One
// thread; any number of handshakes at a time. A destroyed handshake leaves nothing behind: the service sees a
// hang-up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <sys/un.h>

#include <cpgring/result.hpp>

#include "base/closed_in_child.hpp"
#include "base/owned.hpp"
#include "ipc/connection.hpp"

namespace cpgring::ipc {

class handshake {
 public:
  enum class step {
    wait_readable,  ///< call advance() when fd() is readable
    retry_connect,  ///< the service's backlog is full: call advance() in a millisecond
    done,           ///< call finish()
  };

  /// - `service`: the name of an abstract socket, or a path if it begins with '/'. If
  ///   /etc/libqb/force-filesystem-sockets exists, names are files in libqb's socket directory, as for libqb
  ///   itself.
  /// - `service_uid`: a user that may run the service besides uid 0 and this process's effective uid.
  ///
  /// Errors: invalid_param, no_descriptors, or an errno.
  static result<handshake> begin(std::string_view service, std::uint32_t max_message_size,
                                 bool prefault = true, std::optional<uid_t> service_uid = std::nullopt);
  handshake(handshake&&) = default;
  handshake& operator=(handshake&&) = default;

  /// Errors: service_absent, access (the service runs as an untrusted user, or refuses this one),
  /// service_not_ready, no_space, no_memory, no_descriptors, not_supported, malformed, service_lost, or an
  /// errno.
  result<step> advance();
  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  /// Maps the rings. Errors: see connection::open. The object must not be used afterwards.
  result<connection> finish();

 private:
  // The size of libqb's answer, which always has its full length.
  static constexpr std::size_t answer_bytes = 12328;
  enum class phase { connecting, sending, receiving, complete };

  handshake() = default;
  result<step> connect_step();
  result<void> check_peer();
  result<step> send_step();
  result<step> receive_step();
  result<step> parse_answer();

  phase phase_ = phase::connecting;
  base::unique_fd socket_;
  base::closed_in_child socket_in_child_;
  sockaddr_un address_{};
  socklen_t address_bytes_ = 0;
  std::string service_;
  std::uint32_t max_message_size_ = 0;
  bool prefault_ = true;
  std::optional<uid_t> service_uid_;
  std::unique_ptr<std::array<std::byte, answer_bytes>> answer_;
  std::size_t received_ = 0;
  connection_facts facts_;
};

}  // namespace cpgring::ipc
